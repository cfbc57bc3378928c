import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.calibration.quality_scale import QualityScale, measure_scale
from service.errors import (
    ConsistencyUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InconsistentSetError,
    InferenceFailedError,
    NoSamplesError,
    NoUsableSampleError,
    SamplesMismatchError,
    TemplateNotFoundError,
    TooManySamplesError,
)
from service.pipeline.set_keys import digest_sample
from service.pipeline.template_creation import CreationPolicy, TemplateCreator
from service.types import ConsistencyPolicy, FacePolicy, QualityLimits, RejectionReason, SetPolicies
from service.vision.sniffing import ImageLimits
from tests.pipeline.fakes import FINGERPRINT, FakeEngine, MemoryStore, embed, png

POLICY = CreationPolicy(
    max_samples=8,
    max_template_samples=12,
    max_sample_bytes=1000,
    image_limits=ImageLimits(max_pixels=10_000, max_side=1000, max_jpeg_scans=100, max_scan_megapixels=250.0),
    min_eye_distance_pixels=8.0,
    quality_limits=QualityLimits(),
    timeout_s=5.0,
    template_ttl_s=60,
)
SCALE = QualityScale(measure_scale(np.arange(0.0, 20.5, 0.5), np.arange(0.0, 10.25, 0.25)))
A, B, C = (png(content=letter) for letter in (b"a", b"b", b"c"))


class Rig:
    def __init__(self, policy: CreationPolicy = POLICY) -> None:
        self.engine = FakeEngine()
        self.store = MemoryStore()
        self.creator = TemplateCreator(
            self.engine,
            self.store,
            FINGERPRINT,
            policy,
            embedding_fingerprint="e" * 32,
            quality_scale=SCALE,
            clock=lambda: 1000.0,
        )

    async def reasons(self, samples: Sequence[bytes]) -> list[RejectionReason | None]:
        created = await self.creator.create(samples, SetPolicies())
        return [report.reason for report in created.reports]


async def test_a_set_becomes_a_kept_template() -> None:
    rig = Rig()
    created = await rig.creator.create([A, B], SetPolicies())
    assert not created.cached
    assert created.template.fingerprint == FINGERPRINT
    assert (created.template.created_at, created.template.expires_at) == (1000.0, 1060.0)
    assert await rig.store.get(created.template.template_id) == created.template
    assert [report.status for report in created.reports] == ["used", "used"]
    assert sum(report.weight for report in created.reports) == pytest.approx(1.0)
    assert {report.core_rank for report in created.reports} == {0, 1}


async def test_a_repeated_set_comes_from_the_cache_in_any_order() -> None:
    rig = Rig()
    first = await rig.creator.create([A, B, C], SetPolicies())
    again = await rig.creator.create([C, A, B, A], SetPolicies())
    assert again.cached
    assert again.template is first.template
    assert len(rig.engine.requests) == 1
    by_digest = {report.digest: report.weight for report in first.reports}
    assert [report.digest for report in again.reports] == [digest_sample(data) for data in (C, A, B, A)]
    assert [report.weight for report in again.reports[:3]] == [by_digest[digest_sample(data)] for data in (C, A, B)]
    assert again.reports[3].reason is RejectionReason.DUPLICATE


@settings(max_examples=20)
@given(st.permutations([A, B, C, png(content=b"d")]))
async def test_the_order_of_upload_changes_no_bit(samples: list[bytes]) -> None:
    rig, other = Rig(), Rig()
    left = await rig.creator.create(samples, SetPolicies())
    right = await other.creator.create(sorted(samples), SetPolicies())
    assert left.template.vector.tobytes() == right.template.vector.tobytes()
    assert [sample.digest for sample in rig.engine.requests[0].samples] == sorted(map(digest_sample, samples))


async def test_each_bad_sample_has_its_reason_and_the_rest_go_on() -> None:
    rig = Rig()
    rig.engine.faceless = {digest_sample(C)}
    samples = [A, b"", png(content=b"x" * 2000), b"no image at all", A[:10], png(200, 200), C, A]
    assert await rig.reasons(samples) == [
        None,
        RejectionReason.EMPTY,
        RejectionReason.TOO_LARGE,
        RejectionReason.UNSUPPORTED_TYPE,
        RejectionReason.UNREADABLE,
        RejectionReason.TOO_MANY_PIXELS,
        RejectionReason.NO_FACE,
        RejectionReason.DUPLICATE,
    ]
    travelled = {sample.digest for sample in rig.engine.requests[0].samples}
    assert travelled == {digest_sample(A), digest_sample(C)}


async def test_with_no_usable_sample_nothing_is_kept() -> None:
    rig = Rig()
    rig.engine.faceless = {digest_sample(A)}
    with pytest.raises(NoUsableSampleError) as caught:
        await rig.creator.create([A, b""], SetPolicies())
    assert [report.reason for report in caught.value.reports] == [RejectionReason.NO_FACE, RejectionReason.EMPTY]
    assert not rig.store.templates
    assert not rig.store.embeddings
    with pytest.raises(NoUsableSampleError):
        await rig.creator.create([b""], SetPolicies())
    assert len(rig.engine.requests) == 1


async def test_sets_without_or_with_too_many_samples_are_refused() -> None:
    rig = Rig()
    with pytest.raises(NoSamplesError):
        await rig.creator.create([], SetPolicies())
    with pytest.raises(TooManySamplesError):
        await rig.creator.create([A] * 9, SetPolicies())
    assert not rig.engine.requests


async def test_cached_embeddings_do_not_travel_again() -> None:
    rig = Rig()
    await rig.creator.create([A], SetPolicies())
    await rig.creator.create([A, B], SetPolicies())
    request = rig.engine.requests[1]
    assert [sample.digest for sample in request.samples] == [digest_sample(B)]
    assert [sample.digest for sample in request.known] == [digest_sample(A)]
    await rig.creator.create([A], SetPolicies(FacePolicy.ONLY))
    assert not rig.engine.requests[2].known


async def test_a_cached_face_below_the_present_limit_is_looked_at_again() -> None:
    rig = Rig()
    rig.store.embeddings[digest_sample(A), FINGERPRINT, SetPolicies()] = embed(digest_sample(A), eye_distance=5.0)
    await rig.creator.create([A], SetPolicies())
    assert [sample.digest for sample in rig.engine.requests[0].samples] == [digest_sample(A)]


async def test_a_probe_set_is_not_kept() -> None:
    rig = Rig()
    await rig.creator.create([A], SetPolicies(), keep=False)
    assert not rig.store.templates
    assert len(rig.store.embeddings) == 1


async def test_concurrent_equal_sets_are_computed_once() -> None:
    rig = Rig()
    rig.engine.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.creator.create([A, B], SetPolicies())) for _ in range(100)]
    await rig.engine.entered.wait()
    await asyncio.sleep(0.05)
    rig.engine.gate.set()
    created = await asyncio.gather(*callers)
    assert len({each.template.template_id for each in created}) == 1
    assert len(rig.store.templates) == 1
    assert len(rig.engine.requests) == 1


async def test_a_failing_engine_leaves_nothing_behind() -> None:
    rig = Rig()
    rig.engine.failure = InferenceFailedError("no")
    with pytest.raises(InferenceFailedError):
        await rig.creator.create([A], SetPolicies())
    assert not rig.store.templates
    rig.engine.failure = None
    assert not (await rig.creator.create([A], SetPolicies())).cached


async def test_time_that_ran_out_is_an_error_before_the_engine_is_asked() -> None:
    rig = Rig(
        CreationPolicy(
            max_samples=8,
            max_template_samples=12,
            max_sample_bytes=1000,
            image_limits=POLICY.image_limits,
            min_eye_distance_pixels=8.0,
            quality_limits=QualityLimits(),
            timeout_s=1e-9,
            template_ttl_s=60,
        )
    )
    with pytest.raises(DeadlineExceededError):
        await rig.creator.create([A], SetPolicies())
    assert not rig.engine.requests


async def test_a_client_that_leaves_takes_its_work_along() -> None:
    rig = Rig()
    rig.engine.gate = asyncio.Event()
    caller = asyncio.create_task(rig.creator.create([A], SetPolicies()))
    await rig.engine.entered.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert rig.engine.cancelled == 1
    assert not rig.store.templates


async def test_the_template_is_of_unit_length() -> None:
    created = await Rig().creator.create([A, B, C], SetPolicies())
    assert np.linalg.norm(created.template.vector) == pytest.approx(1.0, abs=1e-6)


async def test_samples_and_templates_have_a_quality_on_the_scale_of_the_pack() -> None:
    created = await Rig().creator.create([A, b""], SetPolicies())
    assert [report.quality for report in created.reports] == [pytest.approx(50.0), None], "norm 10 of 0 to 20"
    assert created.template.quality == pytest.approx(10.0), "norm 1 of 0 to 10"


async def test_faces_that_do_not_agree_are_reported() -> None:
    rig = Rig()
    assert (await rig.creator.create([A, B], SetPolicies())).template.is_consistent is True
    rig.engine.foreign.add(digest_sample(C))
    created = await rig.creator.create([A, C, b"", A], SetPolicies())
    assert [report.group for report in created.reports] == [0, 1, None, None]
    assert created.template.is_consistent is False


async def test_the_consistency_policy_goes_to_the_engine_and_names_another_set() -> None:
    rig = Rig()
    warned = await rig.creator.create([A], SetPolicies())
    dropped = await rig.creator.create([A], SetPolicies(consistency=ConsistencyPolicy.DROP))
    assert warned.template.template_id != dropped.template.template_id
    assert [request.consistency_policy.value for request in rig.engine.requests] == ["warn", "drop"]


async def test_a_set_that_was_rejected_for_its_faces_is_named_so() -> None:
    rig = Rig()
    rig.engine.foreign.add(digest_sample(A))
    with pytest.raises(InconsistentSetError) as caught:
        await rig.creator.create([A, B], SetPolicies(consistency=ConsistencyPolicy.REFUSE))
    assert [report.reason for report in caught.value.reports] == [RejectionReason.INCONSISTENT] * 2
    assert not rig.store.templates and not rig.store.embeddings


@pytest.mark.parametrize(
    "policies",
    [
        SetPolicies(consistency=ConsistencyPolicy.DROP),
        SetPolicies(consistency=ConsistencyPolicy.REFUSE),
        SetPolicies(FacePolicy.CONSISTENT),
    ],
)
async def test_a_policy_that_the_pack_cannot_carry_out_is_refused(policies: SetPolicies) -> None:
    rig = Rig()
    kept = (await rig.creator.create([A, C], policies)).template
    rig.engine.groups_faces = False
    for keep in (True, False):
        with pytest.raises(ConsistencyUnavailableError):
            await rig.creator.create([A, B], policies, keep=keep)
    with pytest.raises(ConsistencyUnavailableError):
        await rig.creator.add(kept.template_id, [B])
    with pytest.raises(NoUsableSampleError):
        await rig.creator.create([b""], policies)
    assert list(rig.store.templates) == [kept.template_id]
    assert (await rig.creator.create([A, B], SetPolicies())).template.is_consistent is None


async def test_a_kept_template_that_never_was_told_apart_is_not_answered_for_one_that_was() -> None:
    rig = Rig()
    policies = SetPolicies(consistency=ConsistencyPolicy.REFUSE)
    kept = (await rig.creator.create([A], policies)).template
    untold = tuple(replace(report, group=None) for report in kept.reports)
    rig.store.templates[kept.template_id] = replace(kept, reports=untold)
    with pytest.raises(ConsistencyUnavailableError):
        await rig.creator.create([A], policies)


async def test_adding_samples_is_building_at_once() -> None:
    at_once, step_by_step = Rig(), Rig()
    whole = (await at_once.creator.create([A, B, C, b""], SetPolicies(), subject="anna")).template
    first = (await step_by_step.creator.create([B, b""], SetPolicies(), subject="anna")).template
    second = (await step_by_step.creator.add(first.template_id, [C])).template
    added = await step_by_step.creator.add(second.template_id, [A, B])
    assert np.array_equal(added.template.vector, whole.vector)
    assert added.template.subject == "anna"
    lines = {(line.digest, line.reason, line.weight, line.change) for line in whole.reports}
    assert {line[:4] for line in lines} == {
        (line.digest, line.reason, line.weight, line.change)
        for line in added.reports
        if line.reason is not RejectionReason.DUPLICATE
    }
    assert [len(request.samples) for request in step_by_step.engine.requests] == [1, 1, 1], "nothing is embedded twice"
    assert (await step_by_step.creator.create([C, b"", A, B], SetPolicies(), subject="anna")).cached
    assert (await step_by_step.store.get(first.template_id)).template_id == first.template_id


async def test_adding_what_is_there_answers_the_kept_template() -> None:
    rig = Rig()
    first = await rig.creator.create([A, B], SetPolicies())
    again = await rig.creator.add(first.template.template_id, [B])
    assert again.cached
    assert again.template.template_id == first.template.template_id
    assert [report.reason for report in again.reports] == [None, None, RejectionReason.DUPLICATE]


async def test_a_template_holds_so_many_samples_and_a_request_so_many() -> None:
    rig = Rig()
    pictures = [png(content=str(number).encode()) for number in range(13)]
    template = (await rig.creator.create(pictures[:8], SetPolicies())).template
    with pytest.raises(TooManySamplesError, match="at most 8"):
        await rig.creator.add(template.template_id, pictures[:9])
    with pytest.raises(TooManySamplesError, match="at most 12"):
        await rig.creator.add(template.template_id, pictures[8:])
    with pytest.raises(NoSamplesError):
        await rig.creator.add(template.template_id, [])
    assert len((await rig.creator.add(template.template_id, pictures[8:12])).template.sample_digests) == 12


async def test_samples_are_added_to_templates_of_this_pack_alone() -> None:
    rig = Rig()
    template = (await rig.creator.create([A], SetPolicies())).template
    rig.store.templates[template.template_id] = replace(template, fingerprint="0" * 32)
    with pytest.raises(FingerprintMismatchError):
        await rig.creator.add(template.template_id, [B])
    with pytest.raises(TemplateNotFoundError):
        await rig.creator.add("none", [B])


async def test_a_report_says_how_the_template_would_turn_without_each_sample() -> None:
    created = await Rig().creator.create([A, B, b""], SetPolicies())
    assert [report.change is None for report in created.reports] == [False, False, True]
    assert all(0.0 < report.change < 1.0 for report in created.reports if report.change is not None)
    assert (await Rig().creator.create([A], SetPolicies())).reports[0].change is None


async def test_a_template_is_drawn_from_its_own_samples_alone() -> None:
    rig = Rig()
    template = (await rig.creator.create([A, b"", B], SetPolicies(FacePolicy.CENTRAL))).template
    assert await rig.creator.draw(template.template_id, [B, b"", A, B]) == B + b"-" + A + B
    lines = rig.engine.requests[-1].draw
    assert [line.index for line in lines] == [0, 1, 2, 3], "places in what was sent"
    assert [line.reason for line in lines] == [None, RejectionReason.EMPTY, None, RejectionReason.DUPLICATE]
    assert await rig.creator.draw(template.template_id, [B]) == B
    (alone,) = rig.engine.requests[-1].draw
    kept = next(line for line in template.reports if line.digest == digest_sample(B))
    assert alone == replace(kept, index=0), "what it is worth in the whole template"
    assert 0.0 < alone.weight < 1.0
    for others in ([A, B, b"", C], [C]):
        with pytest.raises(SamplesMismatchError):
            await rig.creator.draw(template.template_id, others)
    with pytest.raises(TemplateNotFoundError):
        await rig.creator.draw("none", [A])


async def test_a_template_of_more_samples_than_a_request_holds_is_drawn_in_parts() -> None:
    rig = Rig()
    pictures = [png(content=str(number).encode()) for number in range(12)]
    template = (await rig.creator.create(pictures[:8], SetPolicies())).template
    template = (await rig.creator.add(template.template_id, pictures[8:])).template
    for part in (pictures[:8], pictures[8:]):
        assert await rig.creator.draw(template.template_id, part) == b"".join(part)
    with pytest.raises(TooManySamplesError, match="one request holds at most 8"):
        await rig.creator.draw(template.template_id, pictures)


async def test_a_refused_set_is_drawn_with_its_reasons() -> None:
    rig = Rig()
    rig.engine.foreign.add(digest_sample(A))
    policies = SetPolicies(consistency=ConsistencyPolicy.REFUSE)
    with pytest.raises(InconsistentSetError) as caught:
        await rig.creator.create([A, b"", B], policies)
    assert await rig.creator.draw_refused([A, b"", B], caught.value) == A + b"-" + B
    assert rig.engine.requests[-1].draw == caught.value.reports
    assert not rig.store.templates
