from __future__ import annotations

from dataclasses import replace

import pytest

from service.engine.result_check import check_result
from service.errors import InferenceFailedError
from service.types import SetResult
from tests.engine.fakes import FakeProcessor, make_request

REQUEST = make_request("face 1", "none 2", "face 3")


def _result() -> SetResult:
    result = FakeProcessor().work([REQUEST])[0]
    assert isinstance(result, SetResult)
    return result


def test_the_right_answer_passes() -> None:
    result = _result()
    assert check_result(REQUEST, result) is result


def test_every_other_answer_is_refused() -> None:
    result = _result()
    assert result.aggregation is not None
    others = [
        replace(result, request_id="another"),
        replace(result, outcomes=result.outcomes[:-1]),
        replace(result, outcomes=result.outcomes[::-1]),
        replace(result, outcomes=(*result.outcomes, result.outcomes[0])),
        replace(result, aggregation=None),
        replace(result, groups=result.groups[:-1]),
        replace(result, picture=b"png"),
        replace(result, aggregation=replace(result.aggregation, weights=(1.0,))),
    ]
    for other in others:
        with pytest.raises(InferenceFailedError):
            check_result(REQUEST, other)
