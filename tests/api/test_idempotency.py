from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from service import errors
from service.api.idempotency import is_final
from service.pipeline.set_keys import digest_sample
from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi
from tests.api.test_disconnection import wait_until
from tests.api.test_templates import upload, upload_json

FreshPng = Callable[[], bytes]


@pytest.fixture
def other_api(api: RunningApi, valkey_url: str) -> Iterator[RunningApi]:
    """A second replica on the store of the first, which is empty."""
    with RunningApi(valkey_url, LIMITS) as other:
        yield other


def with_key(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def post(api: RunningApi, path: str, key: str, body: object) -> httpx.Response:
    return api.client.post(path, json=body, headers=with_key(key))


def encode(*samples: bytes) -> list[str]:
    return [base64.b64encode(sample).decode() for sample in samples]


def is_replayed(response: httpx.Response) -> bool:
    return response.headers.get("idempotent-replayed") == "true"


def assert_same(first: httpx.Response, again: httpx.Response) -> None:
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "location"):
        assert again.headers.get(name) == first.headers.get(name)
    assert (is_replayed(first), is_replayed(again)) == (False, True)
    assert first.headers["x-request-id"] != again.headers["x-request-id"]


def requests_to_every_route(api: RunningApi, fresh_png: FreshPng) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """Of each route: its path, a request and others that differ from it."""
    sample, kept = fresh_png(), upload(api, fresh_png()).json()["template_id"]
    stored, other = {"template_id": kept}, {"template_id": upload(api, fresh_png()).json()["template_id"]}
    samples, more = {"samples": encode(sample)}, {"samples": encode(sample, fresh_png())}
    sides = {"reference": stored, "probe": samples}
    pair = {"reference": kept, "probe": kept}
    return {
        "create": (
            "/v1/templates",
            [
                samples,
                more,
                samples | {"subject": "anna"},
                samples | {"include": ["vector"]},
                samples | {"face_policy": "only"},
                samples | {"consistency_policy": "drop"},
            ],
        ),
        "add": (f"/v1/templates/{kept}/samples", [samples, more, samples | {"include": ["vector"]}]),
        "verify": (
            "/v1/verify",
            [
                sides,
                sides | {"probe": more},
                sides | {"probe": other},
                sides | {"reference": other},
                sides | {"probe": samples | {"face_policy": "only"}},
                sides | {"operating_point": "fmr_1e-2"},
                sides | {"explain": True},
            ],
        ),
        "batch": ("/v1/verify/batch", [{"pairs": [pair]}, {"pairs": [pair, pair]}]),
        "references": (
            "/v1/verify/references",
            [
                {"references": [stored], "probe": samples},
                {"references": [other], "probe": samples},
                {"references": [stored], "probe": stored},
            ],
        ),
    }


@pytest.mark.parametrize("name", ["create", "add", "verify", "batch", "references"])
def test_a_request_sent_again_gets_the_very_answer(api: RunningApi, fresh_png: FreshPng, name: str) -> None:
    path, (body, *others) = requests_to_every_route(api, fresh_png)[name]
    first = post(api, path, name, body)
    assert first.status_code in (200, 201)
    before = len(api.engine.requests)
    assert_same(first, post(api, path, name, body))
    for other in others:
        refused = post(api, path, name, other)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert not is_replayed(refused)
    assert len(api.engine.requests) == before
    assert_same(first, post(api, path, name, body))
    plain = api.client.post(path, json=body)
    assert plain.status_code == 200
    assert not is_replayed(plain)


def test_a_key_is_of_one_route_and_of_one_template(api: RunningApi, fresh_png: FreshPng) -> None:
    body = {"samples": encode(fresh_png())}
    first, second = (upload(api, fresh_png()).json()["template_id"] for _ in range(2))
    assert post(api, "/v1/templates", "one key", body).status_code == 201
    assert post(api, f"/v1/templates/{first}/samples", "one key", body).status_code == 201
    refused = post(api, f"/v1/templates/{second}/samples", "one key", body)
    assert refused.json()["code"] == "idempotency_key_reused"


def test_a_form_and_json_may_be_the_same_request(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = (fresh_png(), fresh_png())
    files = [("samples", (None, sample)) for sample in samples]
    first = api.client.post("/v1/templates", files=files, headers=with_key("form"))
    again = post(api, "/v1/templates", "form", {"samples": encode(*samples), "face_policy": "largest"})
    assert_same(first, again)
    reordered = post(api, "/v1/templates", "form", {"samples": encode(*reversed(samples))})
    assert reordered.json()["code"] == "idempotency_key_reused", "the answer has a line for each sample, in order"


def test_vectors_and_sealed_templates_are_given_again(api: RunningApi, fresh_png: FreshPng) -> None:
    body = {"samples": encode(fresh_png()), "include": ["vector", "sealed_template"]}
    first = post(api, "/v1/templates", "secrets", body)
    assert len(first.json()["vector"]) > 0
    assert_same(first, post(api, "/v1/templates", "secrets", body))


def test_what_was_erased_is_not_given_again(api: RunningApi, fresh_png: FreshPng) -> None:
    body = {"samples": encode(fresh_png()), "include": ["vector"], "subject": "anna"}
    created = post(api, "/v1/templates", "erased", body).json()["template_id"]
    sides = {"reference": {"template_id": created}, "probe": {"template_id": created}}
    pairs = {"pairs": [{"reference": created, "probe": created}, {"reference": "none", "probe": created}]}
    references = {"references": [{"template_id": created}, {"template_id": "none"}], "probe": {"template_id": created}}
    calls = [("/v1/templates", body), ("/v1/verify", sides), ("/v1/verify/batch", pairs)]
    calls.append(("/v1/verify/references", references))
    for path, sent in calls:
        assert post(api, path, "erased", sent).status_code in (200, 201)
    assert api.client.delete(f"/v1/templates/{created}").status_code == 204
    for _ in range(2):
        for path, sent in calls:
            answer = post(api, path, "erased", sent)
            assert (answer.status_code, answer.json()["code"]) == (410, "template_erased")
            assert not is_replayed(answer)
    assert api.client.get("/v1/subjects/anna").json()["count"] == 0, "nothing was made again"


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "tab\there"])
def test_a_malformed_key_is_refused(api: RunningApi, fresh_png: FreshPng, key: str) -> None:
    headers = {b"idempotency-key": key.encode("latin-1")}
    response = api.client.post("/v1/templates", json={"samples": encode(fresh_png())}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
    assert not api.engine.requests


def test_two_keys_are_refused(api: RunningApi, fresh_png: FreshPng) -> None:
    headers = [("idempotency-key", "one"), ("idempotency-key", "two")]
    response = api.client.post("/v1/templates", json={"samples": encode(fresh_png())}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize("key", ["! ~", "x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"'])
def test_every_printable_key_will_do(api: RunningApi, fresh_png: FreshPng, key: str) -> None:
    body = {"samples": encode(fresh_png())}
    assert_same(post(api, "/v1/templates", key, body), post(api, "/v1/templates", key, body))


def test_a_request_that_was_not_understood_leaves_its_key_free(api: RunningApi, fresh_png: FreshPng) -> None:
    assert post(api, "/v1/templates", "free", {"samples": 1}).status_code == 400
    assert post(api, "/v1/templates", "free", {"samples": encode(fresh_png())}).status_code == 201


def test_a_refusal_is_an_answer(api: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    api.engine.faceless.add(digest_sample(sample))
    body = {"samples": encode(sample)}
    first = post(api, "/v1/templates", "refused", body)
    assert (first.status_code, first.json()["code"]) == (422, "no_usable_sample")
    api.engine.faceless.clear()
    assert_same(first, post(api, "/v1/templates", "refused", body))
    assert len(api.engine.requests) == 1
    assert 'coreface_failures_total{code="no_usable_sample"} ' in api.client.get("/metrics").text


@pytest.mark.parametrize(
    "error",
    [errors.OverloadedError, errors.NotReadyError, errors.InferenceFailedError, errors.DeadlineExceededError],
    ids=lambda error: error.code,
)
def test_what_says_try_again_is_tried_again(
    api: RunningApi, fresh_png: FreshPng, error: type[errors.CorefaceError]
) -> None:
    body = {"samples": encode(fresh_png())}
    api.engine.failure = error("What to do.")
    for _ in range(2):
        response = post(api, "/v1/templates", error.code, body)
        assert (response.status_code, is_replayed(response)) == (error.status, False)
    api.engine.failure = None
    assert_same(
        post(api, "/v1/templates", error.code, body),
        post(api, "/v1/templates", error.code, body),
    )
    assert len(api.engine.requests) == 3


@given(st.integers(200, 599))
def test_which_answers_are_kept(status: int) -> None:
    assert is_final(status) == (status < 500 and status not in (408, 429))


def test_samples_are_hashed_once(api: RunningApi, fresh_png: FreshPng, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def count(data: bytes) -> str:
        hashed.append(data)
        return digest_sample(data)

    for module in ("api.idempotency", "pipeline.upload_reading"):
        monkeypatch.setattr(f"service.{module}.digest_sample", count)
    samples = [fresh_png(), fresh_png()]
    kept = post(api, "/v1/templates", "hashed", {"samples": encode(*samples)}).json()["template_id"]
    post(api, f"/v1/templates/{kept}/samples", "hashed", {"samples": encode(fresh_png())})
    post(api, "/v1/verify", "hashed", {side: {"samples": encode(fresh_png())} for side in ("reference", "probe")})
    upload(api, fresh_png())
    assert len(hashed) == len(set(hashed)) == 6


def start(api: RunningApi, pool: ThreadPoolExecutor, key: str, sample: bytes) -> Future[httpx.Response]:
    return pool.submit(post, api, "/v1/templates", key, {"samples": encode(sample)})


def test_replicas_wait_for_each_other(api: RunningApi, other_api: RunningApi, fresh_png: FreshPng) -> None:
    other_api.engine.gate = asyncio.Event()
    with ThreadPoolExecutor(8) as pool:
        sample = fresh_png()
        first = start(other_api, pool, "shared", sample)
        wait_until(other_api.engine.entered.is_set)
        waiting = [start(each, pool, "shared", sample) for each in (api, other_api, api)]
        refused = start(api, pool, "shared", fresh_png())
        assert refused.result().json()["code"] == "idempotency_key_reused", "told at once"
        assert not any(each.done() for each in waiting)
        other_api.loop.call_soon_threadsafe(other_api.engine.gate.set)
        for each in waiting:
            assert_same(first.result(), each.result())
    assert (len(api.engine.requests), len(other_api.engine.requests)) == (0, 1)


@pytest.mark.parametrize("key", ["with", None])
def test_the_next_one_computes_when_the_client_of_the_first_has_gone(
    api: RunningApi, other_api: RunningApi, fresh_png: FreshPng, key: str | None
) -> None:
    other_api.engine.gate = asyncio.Event()
    sample = fresh_png()
    with ThreadPoolExecutor(1) as pool, send(other_api, key, sample) as leaving:
        wait_until(other_api.engine.entered.is_set)
        waiting = pool.submit(upload_json, api, sample) if key is None else start(api, pool, key, sample)
        wait_until(lambda: "in_flight 2.0" in api.client.get("/metrics").text)
        leaving.close()
        assert waiting.result().status_code == 201
        assert not is_replayed(waiting.result())
    assert other_api.engine.cancelled == 1
    assert len(api.engine.requests) == 1


@pytest.mark.parametrize("key", ["with", None])
def test_the_next_one_computes_when_the_engine_of_the_first_fails(
    api: RunningApi, other_api: RunningApi, fresh_png: FreshPng, key: str | None
) -> None:
    other_api.engine.gate = asyncio.Event()
    other_api.engine.failure = errors.InferenceFailedError("no")
    sample = fresh_png()

    def ask(one: RunningApi) -> Future[httpx.Response]:
        return pool.submit(upload_json, one, sample) if key is None else start(one, pool, key, sample)

    with ThreadPoolExecutor(2) as pool:
        failing = ask(other_api)
        wait_until(other_api.engine.entered.is_set)
        waiting = ask(api)
        wait_until(lambda: "in_flight 2.0" in api.client.get("/metrics").text)
        other_api.loop.call_soon_threadsafe(other_api.engine.gate.set)
        assert failing.result().status_code == 500
        assert waiting.result().status_code == 201


@pytest.mark.parametrize("key", ["with", None])
def test_the_claim_of_a_dead_replica_is_taken_over(
    api: RunningApi, other_api: RunningApi, fresh_png: FreshPng, valkey_url: str, key: str | None
) -> None:
    other_api.engine.gate = asyncio.Event()
    sample = fresh_png()
    with Redis.from_url(valkey_url) as redis:
        with send(other_api, key, sample):
            wait_until(other_api.engine.entered.is_set)
            claims = {name: redis.get(name) for pattern in ("*claim*", "*answer*") for name in redis.keys(pattern)}
        wait_until(lambda: not redis.exists(*claims))
        assert len(claims) == (1 if key is None else 2)
        for name, value in claims.items():
            redis.set(name, value, px=300)  # as if it had died instead
    response = upload_json(api, sample) if key is None else post(api, "/v1/templates", key, {"samples": encode(sample)})
    assert response.status_code == 201
    assert len(api.engine.requests) == 1


def test_who_waits_too_long_is_told(other_api: RunningApi, fresh_png: FreshPng, valkey_url: str) -> None:
    sample = fresh_png()
    other_api.engine.gate = asyncio.Event()
    hasty = LIMITS.model_copy(update={"request_timeout_s": 0.3})
    with RunningApi(valkey_url, hasty) as api, send(other_api, "slow", sample):
        wait_until(other_api.engine.entered.is_set)
        for response in (post(api, "/v1/templates", "slow", {"samples": encode(sample)}), upload_json(api, sample)):
            assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
        assert not api.engine.requests


def test_without_the_store_no_key_is_heeded(make_server: Callable[..., Any], fresh_png: FreshPng) -> None:
    server = make_server()
    with RunningApi(server.url, LIMITS) as api:
        server.kill()
        response = post(api, "/v1/templates", "gone", {"samples": encode(fresh_png())})
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")


def send(api: RunningApi, key: str | None, sample: bytes) -> socket.socket:
    """The request of a client that may hang up."""
    body = b'{"samples": ["' + base64.b64encode(sample) + b'"]}'
    header = b"" if key is None else b"Idempotency-Key: " + key.encode() + b"\r\n"
    connection = socket.create_connection(("127.0.0.1", api.port), timeout=5)
    connection.sendall(
        b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"%bContent-Length: %d\r\n\r\n" % (header, len(body)) + body
    )
    return connection
