from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.errors import OverloadedError
from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi
from tests.api.test_templates import upload, upload_json

FreshPng = Callable[[], bytes]
FORM = {"content-type": "multipart/form-data; boundary=b"}


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def raw_exchange(api: RunningApi, request: bytes) -> bytes:
    """What the server answers to these bytes, up to its closing the connection or a second of silence."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as connection:
        connection.sendall(request)
        connection.settimeout(1)
        answer = b""
        try:
            while data := connection.recv(65536):
                answer += data
        except TimeoutError:
            pass
        return answer


def test_a_declared_length_over_the_limit_is_refused_without_the_body(api: RunningApi) -> None:
    head = b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = raw_exchange(api, head % (LIMITS.max_request_bytes + 1))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"request_too_large" in answer


@pytest.mark.parametrize("path", ["", "/AAAAAAAAAAAAAAAAAAAAAA/samples", "/AAAAAAAAAAAAAAAAAAAAAA/report"])
def test_under_load_a_set_is_refused_before_its_body_is_there(api: RunningApi, path: str) -> None:
    api.engine.too_busy = OverloadedError("busy", retry_after_s=7)
    head = "POST /v1/templates%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n"
    answer = raw_exchange(api, (head % path).encode())
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"retry-after: 7" in answer.lower()


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


def test_a_body_that_does_not_arrive_is_given_up(valkey_url: str) -> None:
    limits = LIMITS.model_copy(update={"request_timeout_s": 0.2})
    with RunningApi(valkey_url, limits) as api:
        head = (
            b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = raw_exchange(api, head)
    assert answer.startswith(b"HTTP/1.1 504")
    assert b"deadline_exceeded" in answer
