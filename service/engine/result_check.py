"""An engine's answer must belong to the request it is given for."""

from __future__ import annotations

from service.errors import InferenceFailedError
from service.types import EmbeddedSample, SetRequest, SetResult


def check_result(request: SetRequest, result: SetResult) -> SetResult:
    """`result` itself. Raises `InferenceFailedError` when it was made for another request or other samples."""
    expected = sorted([sample.digest for sample in request.samples] + [sample.digest for sample in request.known])
    if result.request_id != request.request_id or [outcome.digest for outcome in result.outcomes] != expected:
        raise InferenceFailedError("The engine's answer belongs to another set; it was thrown away.")
    if len(result.groups) != len(result.outcomes):
        raise InferenceFailedError("The engine's answer does not group the samples of its set.")
    if (result.picture is not None) != bool(request.draw):
        raise InferenceFailedError("The engine's answer has no picture where one was asked for, or one where none was.")
    embedded = sum(isinstance(outcome, EmbeddedSample) for outcome in result.outcomes)
    weighted = 0 if result.aggregation is None else len(result.aggregation.weights)
    if embedded != weighted:
        raise InferenceFailedError("The engine's answer does not weigh the samples that it embedded.")
    return result
