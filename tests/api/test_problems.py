from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import errors
from service.api.problems import HTTP_PROBLEMS, PROBLEM_MEDIA_TYPE, json_pointer
from service.errors import CorefaceError, SetupError
from service.pipeline.set_keys import digest_sample
from service.types import RejectionReason
from tests.api.running_api import RunningApi
from tests.api.test_templates import upload

FreshPng = Callable[[], bytes]
ROOT = Path(__file__).parents[2]


def leaves(root: type[CorefaceError]) -> Iterator[type[CorefaceError]]:
    children = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    if not children:
        yield root
    for child in children:
        yield from leaves(child)


ENGINE_ERRORS = [
    errors.OverloadedError,
    errors.NotReadyError,
    errors.StoreUnavailableError,
    errors.DeadlineExceededError,
    errors.InferenceFailedError,
    errors.SetQuarantinedError,
    errors.FingerprintMismatchError,
    errors.TemplateErasedError,
]


@pytest.mark.parametrize("error", ENGINE_ERRORS, ids=lambda error: error.code)
def test_an_error_from_below_is_answered_as_its_problem(
    api: RunningApi, fresh_png: FreshPng, error: type[CorefaceError]
) -> None:
    api.engine.failure = error("What to do.")
    response = upload(api, fresh_png())
    assert response.status_code == error.status
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    request_id = response.headers["x-request-id"]
    assert response.json() == {
        "type": f"urn:coreface:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": "What to do.",
        "code": error.code,
        "request_id": request_id,
    }
    assert response.headers.get("retry-after") == (
        str(error.retry_after_s) if issubclass(error, errors.ServiceError) and error.retry_after_s else None
    )


def test_an_error_that_nobody_named_tells_the_client_nothing(api: RunningApi, fresh_png: FreshPng) -> None:
    api.engine.failure = ZeroDivisionError("a secret")
    response = upload(api, fresh_png())
    assert response.status_code == 500
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert response.json()["code"] == "internal_error"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text


def test_with_no_usable_sample_each_reason_is_told_and_nothing_is_stored(api: RunningApi, fresh_png: FreshPng) -> None:
    api.engine.faceless.add(digest_sample(faceless := fresh_png()))
    for _ in range(2):
        response = upload(api, b"", faceless, b"no image")
        assert response.status_code == 422
        problem = response.json()
        assert problem["code"] == "no_usable_sample"
        assert [sample["reason"] for sample in problem["samples"]] == ["empty", "no_face", "unsupported_type"]


def test_a_path_without_a_route(api: RunningApi) -> None:
    response = api.client.get("/v2/anything")
    assert (response.status_code, response.json()["code"]) == (404, "route_not_found")
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_a_method_that_a_route_does_not_have(api: RunningApi) -> None:
    response = api.client.put("/v1/verify")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_every_method_that_a_path_has_is_named(api: RunningApi) -> None:
    response = api.client.put("/v1/templates/abc")
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET"
    assert "DELETE, GET" in response.json()["detail"]


def test_pointers_are_escaped() -> None:
    assert json_pointer(("samples", 0, "a/b~c")) == "#/samples/0/a~1b~0c"


def test_every_code_and_reason_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+|-) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    documented = dict(rows)
    over_http = {
        error.code: str(error.status)
        for branch in (errors.RequestError, errors.ServiceError)
        for error in leaves(branch)
    }
    over_http |= {problem.code: str(problem.status) for problem in HTTP_PROBLEMS}
    at_start = {error.code: "-" for error in leaves(SetupError)}
    reasons = {reason.value: "-" for reason in RejectionReason}
    assert documented == over_http | at_start | reasons
