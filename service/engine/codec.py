"""What travels between API processes and workers: sealed msgpack frames in stream entries.

    job entry    i  set id   r  reply stream   b  budget, ms   t  traceparent   q  request id   p  sealed request
    reply entry  i  set id                                                                     p  sealed result or error

The readable fields are bound into the seal, so none of them can be changed or moved to another entry; but for the id of
the HTTP request, which is for log lines alone, and which processes of another version may not send. Images never
lie readable in the server or its append-only file. A frame names its version; another one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field

from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    NotReadyError,
    OutOfMemoryError,
    OverloadedError,
    SetQuarantinedError,
    StoreUnavailableError,
)
from service.observability.trace_context import is_safe_request_id
from service.store.frames import FrameError, FrameReader, array_field, pack_frame
from service.store.records import (
    EMBEDDED_SAMPLE_FIELDS,
    REPORT_FIELDS,
    embedded_sample_row,
    read_choice,
    read_embedded_sample,
    read_rejected_sample,
    read_report,
    rejected_sample_row,
    report_row,
)
from service.store.sealing import PayloadSealer, UnsealingError
from service.types import (
    Aggregation,
    ConsistencyPolicy,
    EmbeddedSample,
    FacePolicy,
    LeftOutSample,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)

FRAME_VERSION = 3

_JOB_FIELDS = 10
_LIMIT_FIELDS = 7
_OUTCOME_FIELDS = 6
_RESULT_FIELDS = 7
_ERROR_FIELDS = 4
_AGGREGATION_FIELDS = 5
_MAX_DETAIL_LENGTH = 1000

_ERRORS: dict[str, type[CorefaceError]] = {
    error.code: error
    for error in (
        DeadlineExceededError,
        FingerprintMismatchError,
        InferenceFailedError,
        NotReadyError,
        OutOfMemoryError,
        OverloadedError,
        SetQuarantinedError,
        StoreUnavailableError,
    )
}


@dataclass(frozen=True, slots=True)
class SealedJob:
    """One entry of a job stream."""

    request_id: str
    reply_stream: str
    budget_ms: int
    """Time for the answer, counted from the entry's own time stamp (the server's clock)."""
    traceparent: str
    payload: bytes = field(repr=False)
    http_request_id: str = ""
    """What log lines name the request by; empty where there is none."""

    def to_fields(self) -> dict[bytes, bytes]:
        return {
            b"i": self.request_id.encode(),
            b"r": self.reply_stream.encode(),
            b"b": str(self.budget_ms).encode(),
            b"t": self.traceparent.encode(),
            b"q": self.http_request_id.encode(),
            b"p": self.payload,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> SealedJob:
        """Raises `FrameError`."""
        try:
            return cls(
                request_id=fields[b"i"].decode(),
                reply_stream=fields[b"r"].decode(),
                budget_ms=int(fields[b"b"]),
                traceparent=fields[b"t"].decode(),
                payload=fields[b"p"],
                http_request_id=_safe_request_id(fields.get(b"q", b"")),
            )
        except (KeyError, ValueError) as error:
            raise FrameError("The stream entry is no job.") from error


def seal_job(
    request: SetRequest,
    reply_stream: str,
    budget_ms: int,
    traceparent: str,
    sealer: PayloadSealer,
    http_request_id: str = "",
) -> SealedJob:
    """The request as a job. Works through every image byte: call it off the event loop."""
    frame = pack_frame(
        [
            FRAME_VERSION,
            request.request_id,
            [[sample.digest, sample.data] for sample in request.samples],
            [embedded_sample_row(sample) for sample in request.known],
            request.face_policy.value,
            request.fingerprint,
            list(astuple(request.quality_limits)),
            request.consistency_policy.value,
            [report_row(line) for line in request.draw],
            request.tenant,
        ]
    )
    context = _job_context(request.request_id, reply_stream, budget_ms, traceparent, request.fingerprint)
    payload = sealer.seal(frame, context)
    return SealedJob(request.request_id, reply_stream, budget_ms, traceparent, payload, http_request_id)


def unseal_job(job: SealedJob, fingerprint: str, sealer: PayloadSealer) -> SetRequest:
    """The request of a job for this pack, its `timeout_s` the whole budget. Raises `FrameError`.

    Works through every image byte: call it off the event loop.
    """
    context = _job_context(job.request_id, job.reply_stream, job.budget_ms, job.traceparent, fingerprint)
    reader = FrameReader.unpack(_unseal(job.payload, context, sealer), _JOB_FIELDS)
    _check_version(reader)
    request = SetRequest(
        request_id=reader.text(),
        samples=tuple(Sample(row.text(), row.data()) for row in reader.rows(2)),
        known=tuple(read_embedded_sample(row) for row in reader.rows(EMBEDDED_SAMPLE_FIELDS)),
        face_policy=read_choice(reader, FacePolicy),
        fingerprint=reader.text(),
        quality_limits=QualityLimits(*reader.numbers(_LIMIT_FIELDS)),
        consistency_policy=read_choice(reader, ConsistencyPolicy),
        draw=tuple(read_report(row) for row in reader.rows(REPORT_FIELDS)),
        tenant=reader.text(),
        timeout_s=job.budget_ms / 1000,
    )
    if (request.request_id, request.fingerprint) != (job.request_id, fingerprint):
        raise FrameError("The job contradicts its own header.")
    return request


def seal_reply(request_id: str, reply: SetResult | CorefaceError, fingerprint: str, sealer: PayloadSealer) -> bytes:
    """A result, or an error of the tree, as a sealed frame."""
    row: list[object]
    if isinstance(reply, SetResult):
        row = [
            FRAME_VERSION,
            request_id,
            [_outcome_row(outcome) for outcome in reply.outcomes],
            None if reply.aggregation is None else _aggregation_row(reply.aggregation),
            [[stage, seconds] for stage, seconds in reply.stage_seconds.items()],
            list(reply.groups),
            reply.picture,
        ]
    else:
        row = [FRAME_VERSION, request_id, reply.code, reply.detail[:_MAX_DETAIL_LENGTH]]
    return sealer.seal(pack_frame([row]), _reply_context(request_id, fingerprint))


def unseal_reply(request_id: str, payload: bytes, fingerprint: str, sealer: PayloadSealer) -> SetResult | CorefaceError:
    """The answer to this very request: the result, or the error that the worker met, as the class of its code.

    Raises `FrameError`.
    """
    frame = _unseal(payload, _reply_context(request_id, fingerprint), sealer)
    reader = FrameReader.unpack(frame, 1).row_of(_RESULT_FIELDS, _ERROR_FIELDS)
    _check_version(reader)
    if reader.text() != request_id:
        raise FrameError("The reply contradicts its own header.")
    if reader.count == _ERROR_FIELDS:
        return _ERRORS.get(reader.text(), InferenceFailedError)(reader.text(_MAX_DETAIL_LENGTH))
    return SetResult(
        request_id=request_id,
        outcomes=tuple(_read_outcome(row) for row in reader.rows(_OUTCOME_FIELDS)),
        aggregation=reader.optional(lambda field: _read_aggregation(field.row(_AGGREGATION_FIELDS))),
        stage_seconds={row.text(): row.number() for row in reader.rows(2)},
        groups=reader.many(lambda field: field.optional(FrameReader.integer)),
        picture=reader.optional(FrameReader.data),
    )


def _outcome_row(outcome: SampleOutcome) -> list[object]:
    nothing: list[object] = [None, None, None, None]
    match outcome:
        case EmbeddedSample():
            return [None, embedded_sample_row(outcome), *nothing]
        case LeftOutSample(sample, reason):
            return [reason.value, embedded_sample_row(sample), *nothing]
        case RejectedSample():
            return [outcome.reason.value, None, *rejected_sample_row(outcome)[1:]]


def _read_outcome(row: FrameReader) -> SampleOutcome:
    reason = row.optional(lambda field: read_choice(field, RejectionReason))
    sample = row.optional(lambda field: read_embedded_sample(field.row(EMBEDDED_SAMPLE_FIELDS)))
    if sample is not None:
        return sample if reason is None else LeftOutSample(sample, reason)
    if reason is None:
        raise FrameError("A sample without an embedding has a reason.")
    return read_rejected_sample(row, reason)


def _aggregation_row(aggregation: Aggregation) -> list[object]:
    return [
        array_field(aggregation.vector),
        aggregation.norm,
        list(aggregation.core_indices),
        list(aggregation.weights),
        None if aggregation.without is None else array_field(aggregation.without),
    ]


def _read_aggregation(row: FrameReader) -> Aggregation:
    vector, norm = row.array(-1), row.number()
    return Aggregation(
        vector=vector,
        norm=norm,
        core_indices=row.many(FrameReader.integer),
        weights=row.many(FrameReader.number),
        without=row.optional(lambda field: field.array(-1, len(vector))),
    )


def _safe_request_id(field: bytes) -> str:
    text = field.decode("ascii", "replace")
    return text if is_safe_request_id(text) else ""


def _check_version(reader: FrameReader) -> None:
    if reader.integer() != FRAME_VERSION:
        raise FrameError("The frame has a version that this process does not know.")


def _unseal(payload: bytes, context: str, sealer: PayloadSealer) -> bytes:
    try:
        return sealer.unseal(payload, context)
    except UnsealingError as error:
        raise FrameError("The frame cannot be opened; does every process have the same sealing key?") from error


def _job_context(request_id: str, reply_stream: str, budget_ms: int, traceparent: str, fingerprint: str) -> str:
    return f"job\n{fingerprint}\n{request_id}\n{reply_stream}\n{budget_ms}\n{traceparent}"


def _reply_context(request_id: str, fingerprint: str) -> str:
    return f"reply\n{fingerprint}\n{request_id}"
