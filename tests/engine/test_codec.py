from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from service.calibration.quality_scale import QualityScale
from service.engine.codec import FRAME_VERSION, SealedJob, seal_job, seal_reply, unseal_job, unseal_reply
from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    SetQuarantinedError,
    StoreUnavailableError,
)
from service.pipeline.reports import report_samples
from service.store.frames import FrameError, pack_frame
from service.types import (
    ConsistencyPolicy,
    EmbeddedSample,
    FacePolicy,
    LeftOutSample,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    SetResult,
)
from tests.engine.conftest import make_sealer
from tests.engine.fakes import FINGERPRINT, FakeProcessor, embed, make_request, make_sample

SEALER = make_sealer()
TRACE = "00-" + 32 * "a" + "-" + 16 * "b" + "-01"
REQUEST = replace(
    make_request("face 1", "none 2", request_id="r1", timeout_s=3.0),
    known=(embed(make_sample("known").digest),),
    face_policy=FacePolicy.ONLY,
)


def _job() -> SealedJob:
    return seal_job(REQUEST, "replies", 1500, TRACE, SEALER)


def test_a_job_comes_back() -> None:
    job = SealedJob.from_fields(_job().to_fields())
    request = unseal_job(job, FINGERPRINT, SEALER)
    assert request.timeout_s == 1.5
    assert replace(request, timeout_s=3.0, known=()) == replace(REQUEST, known=())
    np.testing.assert_array_equal(request.known[0].embedding.vector, REQUEST.known[0].embedding.vector)
    assert request.known[0].digest == REQUEST.known[0].digest


def test_nothing_of_an_image_is_readable() -> None:
    secret = secrets.token_bytes(64).hex()
    fields = seal_job(make_request(secret), "replies", 1500, TRACE, SEALER).to_fields()
    assert not any(secret.encode() in value for value in fields.values())
    assert not any(make_sample(secret).digest.encode() in value for value in fields.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, request_id="r2"),
        lambda job: replace(job, reply_stream="another"),
        lambda job: replace(job, budget_ms=1501),
        lambda job: replace(job, payload=b""),
        lambda job: replace(job, payload=b"x" * 99),
    ],
)
def test_a_job_that_was_changed_or_moved_is_refused(change: Callable[[SealedJob], SealedJob]) -> None:
    with pytest.raises(FrameError):
        unseal_job(change(_job()), FINGERPRINT, SEALER)


def test_a_job_of_another_pack_or_deployment_is_refused() -> None:
    with pytest.raises(FrameError):
        unseal_job(_job(), "f" * 32, SEALER)
    with pytest.raises(FrameError, match="sealing key"):
        unseal_job(_job(), FINGERPRINT, make_sealer(bytes(32)))


@pytest.mark.parametrize("missing", [b"i", b"r", b"b", b"p"])
def test_an_entry_that_is_no_job_is_refused(missing: bytes) -> None:
    fields = _job().to_fields()
    del fields[missing]
    with pytest.raises(FrameError):
        SealedJob.from_fields(fields)
    with pytest.raises(FrameError):
        SealedJob.from_fields({**_job().to_fields(), b"b": b"soon"})
    with pytest.raises(FrameError):
        SealedJob.from_fields({**_job().to_fields(), b"r": b"\xff"})


def test_another_version_is_refused() -> None:
    job = _job()
    context = f"job\n{FINGERPRINT}\nr1\nreplies\n1500\n{TRACE}"
    frame = bytearray(SEALER.unseal(job.payload, context))
    assert frame[1] == FRAME_VERSION
    frame[1] += 1
    with pytest.raises(FrameError, match="version"):
        unseal_job(replace(job, payload=SEALER.seal(bytes(frame), context)), FINGERPRINT, SEALER)


@pytest.mark.parametrize("frame", [b"", b"\xc1", pack_frame([]), pack_frame([[1, "r1"]]), pack_frame([1, "r1", 2, 3])])
def test_a_sealed_frame_of_another_shape_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        unseal_reply("r1", SEALER.seal(frame, f"reply\n{FINGERPRINT}\nr1"), FINGERPRINT, SEALER)


def _result() -> SetResult:
    result = FakeProcessor().work([REQUEST])[0]
    assert isinstance(result, SetResult)
    return result


def test_a_result_comes_back_bit_by_bit() -> None:
    result = _result()
    read = unseal_reply("r1", seal_reply("r1", result, FINGERPRINT, SEALER), FINGERPRINT, SEALER)
    assert isinstance(read, SetResult)
    assert [type(outcome) for outcome in read.outcomes] == [type(outcome) for outcome in result.outcomes]
    assert [outcome.digest for outcome in read.outcomes] == [outcome.digest for outcome in result.outcomes]
    assert {outcome.reason for outcome in read.outcomes if hasattr(outcome, "reason")} == {RejectionReason.NO_FACE}
    assert read.aggregation is not None
    assert result.aggregation is not None
    np.testing.assert_array_equal(read.aggregation.vector, result.aggregation.vector)
    assert read.aggregation.weights == result.aggregation.weights
    assert read.aggregation.core_indices == result.aggregation.core_indices
    assert read.aggregation.norm == result.aggregation.norm
    assert read.stage_seconds == result.stage_seconds


def test_what_was_left_out_drawn_and_explained_comes_back() -> None:
    result = _result()
    assert result.aggregation is not None
    first = next(outcome for outcome in result.outcomes if isinstance(outcome, EmbeddedSample))
    sample = replace(first, others=(first.face, first.face))
    without = np.eye(len(result.aggregation.vector), dtype=np.float32)[:3]
    sent = replace(
        result,
        outcomes=(LeftOutSample(sample, RejectionReason.NEAR_DUPLICATE), sample),
        groups=(1, None),
        aggregation=replace(result.aggregation, without=without),
        picture=b"png",
    )
    read = unseal_reply("r1", seal_reply("r1", sent, FINGERPRINT, SEALER), FINGERPRINT, SEALER)
    assert isinstance(read, SetResult)
    left_out, kept = read.outcomes
    assert isinstance(left_out, LeftOutSample)
    assert isinstance(kept, EmbeddedSample)
    assert left_out.reason is RejectionReason.NEAR_DUPLICATE
    assert len(left_out.sample.others) == len(kept.others) == 2
    np.testing.assert_array_equal(kept.others[1].embedding.vector, first.embedding.vector)
    assert (read.groups, read.picture) == ((1, None), b"png")
    assert read.aggregation is not None and read.aggregation.without is not None
    np.testing.assert_array_equal(read.aggregation.without, without)


def test_a_job_with_every_choice_comes_back() -> None:
    asked = replace(
        REQUEST,
        known=(),
        quality_limits=QualityLimits(0.5, 1.0, 0.1, 0.9, 30.0, 20.0, 8.0),
        consistency_policy=ConsistencyPolicy.REFUSE,
        draw=report_samples(
            ["0" * 64], [RejectedSample("0" * 64, RejectionReason.EMPTY)], [1], None, QualityScale(None)
        ),
        tenant="somebody",
    )
    job = SealedJob.from_fields(seal_job(asked, "replies", 3000, TRACE, SEALER).to_fields())
    assert unseal_job(job, FINGERPRINT, SEALER) == replace(asked, timeout_s=3.0)


def test_a_reply_to_another_request_is_refused() -> None:
    sealed = seal_reply("r1", _result(), FINGERPRINT, SEALER)
    with pytest.raises(FrameError):
        unseal_reply("r2", sealed, FINGERPRINT, SEALER)
    with pytest.raises(FrameError):
        unseal_reply("r1", sealed, "f" * 32, SEALER)
    with pytest.raises(FrameError):
        unseal_reply("r1", sealed[:-1], FINGERPRINT, SEALER)


@pytest.mark.parametrize(
    "kind",
    [
        DeadlineExceededError,
        FingerprintMismatchError,
        InferenceFailedError,
        NotReadyError,
        OverloadedError,
        SetQuarantinedError,
        StoreUnavailableError,
    ],
)
def test_an_error_arrives_as_the_same_class(kind: type[CorefaceError]) -> None:
    sealed = seal_reply("r1", kind("what to do"), FINGERPRINT, SEALER)
    read = unseal_reply("r1", sealed, FINGERPRINT, SEALER)
    assert type(read) is kind
    assert read.detail == "what to do"


def test_an_error_that_no_engine_raises_arrives_as_a_failure() -> None:
    sealed = seal_reply("r1", InvalidRequestError("odd"), FINGERPRINT, SEALER)
    assert type(unseal_reply("r1", sealed, FINGERPRINT, SEALER)) is InferenceFailedError


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"request-of-anna", "request-of-anna"),
        (None, ""),
        (b'"}\n{"event":"set', ""),
        (b"\xff" * 16, ""),
        (b"short", ""),
    ],
)
def test_the_request_id_is_read_where_it_is_safe_to_repeat_and_binds_nothing(sent: bytes | None, read: str) -> None:
    """A process of another version sends none, and its jobs are done all the same."""
    fields = {name: value for name, value in _job().to_fields().items() if name != b"q"}
    job = SealedJob.from_fields(fields if sent is None else {**fields, b"q": sent})
    assert job.http_request_id == read
    assert unseal_job(job, FINGERPRINT, SEALER).request_id == REQUEST.request_id
