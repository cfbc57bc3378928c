from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from service.api.multipart_body import MAX_FIELDS
from service.errors import OverloadedError
from tests.api.conftest import LIMITS
from tests.api.raw_sockets import exchange
from tests.api.running_api import RunningApi
from tests.api.test_templates import upload, upload_json

FreshPng = Callable[[], bytes]
FORM = {"content-type": "multipart/form-data; boundary=b"}


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_declared_length_over_the_limit_is_refused_without_the_body(api: RunningApi) -> None:
    head = b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = exchange(api.port, head % (LIMITS.max_request_bytes + 1))
    assert (answer.statuses, answer.problem["code"]) == ([413], "request_too_large")


@pytest.mark.parametrize("path", ["", "/AAAAAAAAAAAAAAAAAAAAAA/samples", "/AAAAAAAAAAAAAAAAAAAAAA/report"])
def test_under_load_a_set_is_refused_before_its_body_is_there(api: RunningApi, path: str) -> None:
    api.engine.too_busy = OverloadedError("busy", retry_after_s=7)
    head = "POST /v1/templates%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n"
    answer = exchange(api.port, (head % path).encode())
    assert answer.statuses == [429]
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize("headers", [FORM, {"content-type": "application/json"}])
def test_a_body_of_no_declared_length_is_cut_off_at_the_limit(api: RunningApi, headers: dict[str, str]) -> None:
    def endless() -> Iterator[bytes]:
        yield (
            b'["'
            if "json" in headers["content-type"]
            else b'--b\r\nContent-Disposition: form-data; name="samples"\r\n\r\n'
        )
        for _ in range(1000):
            yield b"A" * 10_000

    response = api.client.post("/v1/templates", content=endless(), headers=headers)
    assert code_of(response) == (413, "request_too_large")


def test_too_many_samples(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = [fresh_png() for _ in range(LIMITS.max_samples + 1)]
    assert code_of(upload(api, *samples)) == (413, "too_many_samples")
    assert code_of(upload_json(api, *samples)) == (413, "too_many_samples")
    assert code_of(upload_json(api, *(sample + bytes(1000) for sample in samples))) == (413, "too_many_samples")
    assert api.engine.requests == []


def test_no_samples(api: RunningApi) -> None:
    assert code_of(upload_json(api)) == (422, "no_samples")
    assert code_of(api.client.post("/v1/templates", content=b"--b--\r\n", headers=FORM)) == (422, "no_samples")


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"content-type": "text/plain"}, b"x", 415, "unsupported_content_type"),
        ({"content-type": "image/jpeg"}, b"x", 415, "unsupported_content_type"),
        ({"content-type": ""}, b"x", 415, "unsupported_content_type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"x", 415, "unsupported_content_type"),
        ({"content-type": "multipart/form-data"}, b"x", 400, "invalid_request"),
        (FORM, b"x", 400, "invalid_request"),
        (FORM, b"", 400, "invalid_request"),
        ({"content-type": "application/json"}, b"", 400, "invalid_request"),
        ({"content-type": "application/json"}, b"{", 400, "invalid_request"),
        ({"content-type": "application/json"}, b"[]", 400, "invalid_request"),
        ({"content-type": "application/json; charset=utf-8"}, b'{"samples": ["\xff"]}', 400, "invalid_request"),
        ({"content-type": "application/json"}, b'{"samples": "AAAA"}', 400, "invalid_request"),
        ({"content-type": "application/json"}, b'{"samples": ["AAAA"], "include": ["all"]}', 400, "invalid_request"),
    ],
)
def test_what_is_no_upload_is_refused(
    api: RunningApi, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    assert code_of(api.client.post("/v1/templates", content=content, headers=headers)) == (status, code)


@pytest.mark.parametrize("fields", [{"face_policy": "smallest"}, {"include": "vector,all"}, {"surname": "x"}])
def test_a_wrong_form_field_is_named(api: RunningApi, fresh_png: FreshPng, fields: dict[str, str]) -> None:
    response = upload(api, fresh_png(), **fields)
    assert code_of(response) == (400, "invalid_request")
    assert next(iter(fields)) in response.json()["detail"]


def test_an_unknown_file_field_is_told_the_right_name(api: RunningApi, fresh_png: FreshPng) -> None:
    response = api.client.post("/v1/templates", files={"images": ("x.png", fresh_png())})
    assert code_of(response) == (400, "invalid_request")
    assert "`samples`" in response.json()["detail"]


@pytest.mark.parametrize(("declared", "statuses"), [(5, [400, 431]), (40, [422, 400])])
def test_what_goes_beyond_a_declared_length_is_not_of_this_request(
    api: RunningApi, declared: int, statuses: list[int]
) -> None:
    head = b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = exchange(api.port, head % declared + b'{"samples": []}'.ljust(declared) + b" " * 200_000)
    # The first request by itself, and then bytes that begin none.
    assert answer.statuses == statuses
    assert answer.closed
    assert api.engine.requests == []


def test_a_body_of_no_length_has_none(api: RunningApi) -> None:
    head = b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n"
    answer = exchange(api.port, head + b'{"samples": []}\r\n\r\n')
    assert answer.statuses == [400, 400]
    assert answer.closed


@pytest.mark.parametrize("length", ["99999999999999999999", "1" * 30])
def test_a_length_beyond_all_numbers_is_too_large(api: RunningApi, length: str) -> None:
    head = f"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: text/json\r\nContent-Length: {length}\r\n\r\n"
    assert exchange(api.port, head.encode()).statuses in ([413], [400])


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/packs"), ("DELETE", "/v1/templates/AAAAAAAAAAAAAAAAAAAAAA")])
def test_a_body_where_none_is_read_is_not_kept(api: RunningApi, method: str, path: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer = exchange(api.port, head + chunk * 64 + b"0\r\n\r\n")
    assert answer.statuses == [200 if method == "GET" else 404]


@pytest.mark.parametrize("fields", [MAX_FIELDS, MAX_FIELDS + 1])
def test_the_fields_of_a_form_are_counted(api: RunningApi, fresh_png: FreshPng, fields: int) -> None:
    response = api.client.post("/v1/templates", files=[("samples", fresh_png())], data={"include": ["vector"] * fields})
    if fields <= MAX_FIELDS:
        assert response.status_code == 201
    else:
        assert code_of(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    "path", ["/v1/verify", "/v1/verify/batch", "/v1/verify/references", "/v1/templates/AAAAAAAAAAAAAAAAAAAAAA/samples"]
)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", None])
def test_every_route_refuses_types_that_it_does_not_list(api: RunningApi, path: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert code_of(api.client.post(path, content=b"{}", headers=headers)) == (415, "unsupported_content_type")


def test_a_body_that_does_not_arrive_is_given_up(valkey_url: str) -> None:
    limits = LIMITS.model_copy(update={"request_timeout_s": 0.2})
    with RunningApi(valkey_url, limits) as api:
        head = (
            b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = exchange(api.port, head)
    assert (answer.statuses, answer.problem["code"]) == ([408], "request_timeout")
    assert answer.closed
