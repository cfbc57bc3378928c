"""From an upload to a template: refuse early, look in the cache, ask the engine, keep the answer.

Runs in the API process: nothing here decodes a pixel.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from service.calibration.quality_scale import QualityScale
from service.errors import (
    ConsistencyUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InconsistentSetError,
    InferenceFailedError,
    NoSamplesError,
    NoUsableSampleError,
    RefusedSetError,
    SamplesMismatchError,
    TooManySamplesError,
)
from service.pipeline.reports import reorder_reports, report_samples
from service.pipeline.set_keys import set_key
from service.pipeline.single_flight import SingleFlight
from service.pipeline.stage_clock import StageClock
from service.pipeline.upload_reading import Upload, UploadLimits, read_upload
from service.protocols import TemplateEngine, TemplateStore
from service.types import (
    DEFAULT_TENANT,
    EmbeddedSample,
    FacePolicy,
    LeftOutSample,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleMaterial,
    SampleOutcome,
    SampleReport,
    SetPolicies,
    SetRequest,
    SetResult,
    Template,
)
from service.vision.sniffing import ImageLimits


@dataclass(frozen=True, slots=True)
class CreationPolicy:
    """What an upload may cost, and how long its template lives."""

    max_samples: int
    max_template_samples: int
    """Of a template that was added to."""
    max_sample_bytes: int
    image_limits: ImageLimits
    min_eye_distance_pixels: float
    quality_limits: QualityLimits
    timeout_s: float
    template_ttl_s: int


@dataclass(frozen=True, slots=True)
class CreatedTemplate:
    """A template, and this upload's view of it."""

    template: Template
    reports: tuple[SampleReport, ...]
    """In the order of this upload; the template's own are in the order of the upload that made it."""
    cached: bool
    """Whether the template was already kept for this very set."""
    stage_seconds: dict[str, float]
    """Empty when cached."""
    material: SampleMaterial | None
    """Of a fresh template; of a kept one the store has it."""
    added_to: int = 0
    """How many of the reports, from the first, are of samples of the kept template that others were added to."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What all who sent one set at one time share: a kept template, or a fresh one."""

    template: Template
    cached: bool
    stage_seconds: dict[str, float]
    material: SampleMaterial | None


class TemplateCreator:
    """Makes templates with one pack."""

    def __init__(
        self,
        engine: TemplateEngine,
        store: TemplateStore,
        fingerprint: str,
        policy: CreationPolicy,
        *,
        embedding_fingerprint: str,
        quality_scale: QualityScale,
        tenant: str = DEFAULT_TENANT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._store = store
        self._fingerprint = fingerprint
        self._policy = policy
        self._limits = UploadLimits(policy.max_sample_bytes, policy.image_limits)
        self._embedding_fingerprint = embedding_fingerprint
        self._quality_scale = quality_scale
        self._tenant = tenant
        self._clock = clock
        self._flights: SingleFlight[_Made] = SingleFlight()

    async def create(
        self,
        samples: Sequence[bytes],
        policies: SetPolicies,
        *,
        digests: Sequence[str] | None = None,
        subject: str | None = None,
        keep: bool = True,
    ) -> CreatedTemplate:
        """One template from the encoded images of one subject. `digests`: of the samples, where they are at hand.

        With `keep` the template is stored and can be named by its id; without, only the embeddings are cached.
        Raises `NoSamplesError`, `TooManySamplesError`, `NoUsableSampleError`, `InconsistentSetError`,
        `ConsistencyUnavailableError`, `DeadlineExceededError`, and what the engine and the store raise. Nothing is kept
        of a set that fails.
        """
        self._check_count(len(samples))
        started = time.monotonic()
        upload = await asyncio.to_thread(read_upload, samples, self._limits, digests)
        return await self._create(upload, policies, subject, started, keep=keep)

    async def add(
        self, template_id: str, samples: Sequence[bytes], *, digests: Sequence[str] | None = None
    ) -> CreatedTemplate:
        """One template from the samples of a kept one and further ones, as if all had been sent at once. The kept one
        stays. `digests`: of the further ones, where they are at hand.

        Raises as `create`, and `TemplateNotFoundError`, `TemplateErasedError`, `FingerprintMismatchError`.
        """
        self._check_count(len(samples))
        started = time.monotonic()
        kept = await self._of_this_pack(template_id)
        material = await self._store.get_material(template_id)
        upload = await asyncio.to_thread(read_upload, samples, self._limits, digests)
        before = list(dict.fromkeys(report.digest for report in kept.reports))
        upload = upload.joined_to(before, material)
        if len(set(upload.digests)) > self._policy.max_template_samples:
            raise TooManySamplesError(f"A template holds at most {self._policy.max_template_samples} samples.")
        created = await self._create(upload, material.policies, kept.subject, started, keep=True)
        return replace(created, added_to=len(before))

    async def draw(self, template_id: str, samples: Sequence[bytes]) -> bytes:
        """Samples of a kept template, all or some, as a picture (PNG), in the order sent, each with its line of the
        kept report: what it is worth in the whole template.

        Raises as `add`, and `SamplesMismatchError` where one of them is not a sample that the template was made of.
        """
        self._check_count(len(samples))
        kept = await self._of_this_pack(template_id)
        upload = await asyncio.to_thread(read_upload, samples, self._limits)
        if not set(upload.digests) <= set(kept.sample_digests):
            raise SamplesMismatchError("Send samples that the template was made of, byte by byte as they were.")
        return await self._draw(upload, reorder_reports(upload.digests, kept.reports))

    async def draw_refused(self, samples: Sequence[bytes], refusal: RefusedSetError) -> bytes:
        """A set that no template was made of, as a picture (PNG). Raises what the engine raises."""
        return await self._draw(await asyncio.to_thread(read_upload, samples, self._limits), refusal.reports)

    async def _draw(self, upload: Upload, lines: tuple[SampleReport, ...]) -> bytes:
        result = await self._ask_engine(upload.accepted, (), SetPolicies(), self._policy.timeout_s, draw=lines)
        if result.picture is None:
            raise InferenceFailedError("The engine answered no picture.")
        return result.picture

    async def aggregate_again(self, material: SampleMaterial) -> SetResult:
        """The template of kept embeddings, with what each sample adds to it. Raises `ConsistencyUnavailableError`, and
        what the engine raises."""
        return await self._ask_engine((), material.samples, material.policies, self._policy.timeout_s)

    async def make_again(self, kept: Template, material: SampleMaterial) -> tuple[Template, str]:
        """A kept template of whatever pack, as this pack's aggregator makes it of the same embeddings, and the name of
        its set. Id, times and subject stay.

        Raises `RefusedSetError` where this pack makes none, and as `aggregate_again`.
        """
        result = await self.aggregate_again(material)
        digests = tuple(dict.fromkeys(report.digest for report in kept.reports))
        reports = self._report(Upload(digests, (), material.rejected), result)
        if result.aggregation is None:
            raise _refused(reports)
        template = replace(
            kept,
            fingerprint=self._fingerprint,
            vector=result.aggregation.vector,
            norm=result.aggregation.norm,
            quality=self._quality_scale.of_template(result.aggregation.norm),
            reports=reports,
        )
        return template, self._set_key(digests, material.policies, kept.subject)

    def _set_key(self, digests: Sequence[str], policies: SetPolicies, subject: str | None) -> str:
        return set_key(
            digests,
            self._fingerprint,
            policies.face,
            policies.consistency,
            subject=subject,
            min_eye_distance_pixels=self._policy.min_eye_distance_pixels,
            quality_limits=self._policy.quality_limits,
        )

    async def _of_this_pack(self, template_id: str) -> Template:
        kept = await self._store.get(template_id)
        if kept.fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"The template was made by pack {kept.fingerprint}, the service runs {self._fingerprint}; enrol again."
            )
        return kept

    def _check_count(self, count: int) -> None:
        if count == 0:
            raise NoSamplesError("Send at least one image in the field `samples`.")
        if count > self._policy.max_samples:
            raise TooManySamplesError(f"{count} samples; one request holds at most {self._policy.max_samples}.")

    async def _create(
        self, upload: Upload, policies: SetPolicies, subject: str | None, started: float, *, keep: bool
    ) -> CreatedTemplate:
        key = self._set_key(upload.digests, policies, subject)
        deadline = started + self._policy.timeout_s
        made = await self._flights.run(
            (key, keep), lambda: self._find_or_compute(upload, policies, subject, key, keep, deadline)
        )
        reports = reorder_reports(upload.digests, made.template.reports)
        return CreatedTemplate(made.template, reports, made.cached, made.stage_seconds, made.material)

    async def _find_or_compute(
        self, upload: Upload, policies: SetPolicies, subject: str | None, key: str, keep: bool, deadline: float
    ) -> _Made:
        # A set that is not kept is no work that others would find done: it is looked up and not claimed.
        looking = (
            self._store.claim_set(key, deadline - time.monotonic())
            if keep
            else nullcontext(await self._store.find_by_set(key))
        )
        async with looking as known:
            if known is not None:
                _check_groups([report.group for report in known.reports], policies)
                return _Made(known, True, {}, None)
            return await self._compute(upload, policies, subject, key, keep, deadline)

    async def _compute(
        self, upload: Upload, policies: SetPolicies, subject: str | None, key: str, keep: bool, deadline: float
    ) -> _Made:
        clock = StageClock()
        with clock.stage("cache"):
            known = {**await self._cached_embeddings(upload, policies.face), **upload.known}
        result = await self._embed_and_aggregate(upload, known, policies, deadline)
        reports = self._report(upload, result)
        aggregation = result.aggregation
        if aggregation is None:
            raise _refused(reports)
        now = self._clock()
        template = Template(
            template_id=secrets.token_urlsafe(16),
            fingerprint=self._fingerprint,
            vector=aggregation.vector,
            norm=aggregation.norm,
            quality=self._quality_scale.of_template(aggregation.norm),
            created_at=now,
            expires_at=now + self._policy.template_ttl_s,
            reports=reports,
            subject=subject,
        )
        embedded = tuple(sample for outcome in result.outcomes if (sample := _embedded(outcome)) is not None)
        rejected = (outcome for outcome in result.outcomes if isinstance(outcome, RejectedSample))
        material = SampleMaterial(embedded, (*upload.rejected, *rejected), policies, self._embedding_fingerprint)
        with clock.stage("store"):
            fresh = [sample for sample in embedded if sample.digest not in known]
            await self._store.put_embeddings(fresh, self._fingerprint, policies.face)
            if keep:
                template = await self._store.put(template, key, material)
        return _Made(template, False, {**result.stage_seconds, **clock.seconds}, material)

    def _report(self, upload: Upload, result: SetResult) -> tuple[SampleReport, ...]:
        outcomes = (*upload.rejected, *result.outcomes)
        groups = (*(None for _ in upload.rejected), *result.groups)
        return report_samples(upload.digests, outcomes, groups, result.aggregation, self._quality_scale)

    async def _cached_embeddings(self, upload: Upload, face_policy: FacePolicy) -> dict[str, EmbeddedSample]:
        cached = await self._store.get_embeddings(
            [sample.digest for sample in upload.accepted], self._fingerprint, face_policy
        )
        # The limit on face size is a setting: an embedding made under a lower one is not taken for granted.
        return {
            digest: sample
            for digest, sample in cached.items()
            if sample.face.detection.eye_distance >= self._policy.min_eye_distance_pixels
        }

    async def _embed_and_aggregate(
        self, upload: Upload, known: Mapping[str, EmbeddedSample], policies: SetPolicies, deadline: float
    ) -> SetResult:
        if not upload.accepted and not known:
            return SetResult("", (), None, {}, ())
        timeout_s = deadline - time.monotonic()
        if timeout_s <= 0:
            raise DeadlineExceededError("The time for this request ran out before its samples were embedded.")
        unknown = tuple(sample for sample in upload.accepted if sample.digest not in known)
        return await self._ask_engine(unknown, [known[digest] for digest in sorted(known)], policies, timeout_s)

    async def _ask_engine(
        self,
        samples: tuple[Sample, ...],
        known: Sequence[EmbeddedSample],
        policies: SetPolicies,
        timeout_s: float,
        *,
        draw: tuple[SampleReport, ...] = (),
    ) -> SetResult:
        request = SetRequest(
            request_id=secrets.token_hex(16),
            samples=samples,
            known=tuple(known),
            face_policy=policies.face,
            fingerprint=self._fingerprint,
            timeout_s=timeout_s,
            quality_limits=self._policy.quality_limits,
            consistency_policy=policies.consistency,
            draw=draw,
            tenant=self._tenant,
        )
        result = await self._engine.create(request)
        if any(_embedded(outcome) is not None for outcome in result.outcomes):
            _check_groups(result.groups, policies)
        return result


def _check_groups(groups: Sequence[int | None], policies: SetPolicies) -> None:
    """Of a set with a face. Raises `ConsistencyUnavailableError` where policies ask for groups and there are none."""
    if policies.need_groups and set(groups) == {None}:
        raise ConsistencyUnavailableError(
            "This pack has no limits of consistency, so it cannot carry out the consistency policies `drop` and "
            "`refuse` or the face policy `consistent`; send `warn` and another face policy, or use another pack."
        )


def _embedded(outcome: SampleOutcome) -> EmbeddedSample | None:
    match outcome:
        case EmbeddedSample():
            return outcome
        case LeftOutSample(sample, _):
            return sample
        case _:
            return None


def _refused(reports: Sequence[SampleReport]) -> RefusedSetError:
    if any(report.reason is RejectionReason.INCONSISTENT for report in reports):
        return InconsistentSetError(
            "The faces of this set do not look like one person's; see `group` of each sample.", reports
        )
    return NoUsableSampleError("None of the samples holds a usable face; see `samples` for each reason.", reports)
