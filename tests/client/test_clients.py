"""Both clients against the real application, and against services that fail."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import (
    AsyncCoreface,
    Coreface,
    CorefaceProblem,
    CorefaceUnreachable,
    Samples,
    SealedTemplate,
    Vector,
    attempts,
)
from service.pipeline.set_keys import digest_sample
from tests.api.conftest import _quiet, _shared_api, api, fresh_png  # noqa: F401 (fixtures)
from tests.api.running_api import RunningApi
from tests.api.test_templates import FreshPng


@pytest.fixture
def client(api: RunningApi) -> Coreface:  # noqa: F811
    with Coreface(f"http://127.0.0.1:{api.port}", deadline_s=20.0) as made:
        yield made  # type: ignore[misc]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.001)


def public(cls: type) -> dict[str, Any]:
    return {name: member for name, member in vars(cls).items() if not name.startswith("_") and callable(member)}


def test_both_clients_have_the_same_calls() -> None:
    one, other = public(Coreface), public(AsyncCoreface)
    assert set(one) == set(other)
    for name, method in one.items():
        assert inspect.signature(method).parameters == inspect.signature(other[name]).parameters
        assert method.__doc__ == other[name].__doc__


def test_every_way_to_give_a_picture(client: Coreface, fresh_png: FreshPng, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "one.png"
    path.write_bytes(fresh_png())
    with path.open("rb") as stream:
        answers = [client.enrol([picture]) for picture in (path, str(path), path.read_bytes(), stream)]
    assert len({answer.template_id for answer in answers}) == 1
    assert [answer.cached for answer in answers] == [False, True, True, True]
    with pytest.raises(FileNotFoundError):
        client.enrol([tmp_path / "absent.png"])


def test_a_template_from_beginning_to_end(client: Coreface, fresh_png: FreshPng) -> None:  # noqa: F811
    made = client.enrol([fresh_png(), fresh_png()], subject="carla", include=["vector", "sealed_template"])
    assert [sample.status for sample in made.samples] == ["used", "used"]
    more = client.add_samples(made.template_id, [fresh_png()])
    assert more.template_id != made.template_id
    assert client.template(made.template_id).subject == "carla"
    assert {made.template_id, more.template_id} <= {template.template_id for template in client.templates()}
    assert client.subject("carla").count == 2
    assert client.expire(more.template_id, 60).expires_at < more.expires_at
    for side in (
        made.template_id,
        Vector(made.vector, made.fingerprint, made.template_norm),
        SealedTemplate(made.sealed_template),
        Samples([fresh_png()], face_policy="largest"),
    ):
        answer = client.verify(made.template_id, side, operating_point="fmr_1e-2")
        assert answer.decision in ("match", "non_match")
        assert answer.operating_point == "fmr_1e-2"
    assert client.verify(made.template_id, made.template_id).decision == "match"
    raw = client.verify(made.template_id, made.template_id, raw_scores=True, explain=True)
    assert raw.score == pytest.approx(1.0)
    [pair] = client.verify_pairs([(made.template_id, more.template_id)]).results
    assert pair.decision is not None
    assert len(client.verify_references([made.template_id, more.template_id], made.template_id).results) == 2
    client.unlock(made.template_id)
    client.erase(made.template_id)
    with pytest.raises(CorefaceProblem) as refused:
        client.template(made.template_id)
    assert (refused.value.status, refused.value.code) == (410, "template_erased")
    assert refused.value.request_id
    assert client.erase_subject("carla").erased == 1
    assert client.pack().operating_points
    assert client.ready().status == "ready"


async def test_the_asynchronous_client(api: RunningApi, fresh_png: FreshPng) -> None:  # noqa: F811
    async with AsyncCoreface(f"http://127.0.0.1:{api.port}") as client:
        made = await client.enrol([fresh_png()], subject="dora")
        assert (await client.verify(made.template_id, made.template_id)).decision == "match"
        assert made.template_id in [template.template_id async for template in client.templates()]
        assert (await client.subject("dora")).count == 1
        await client.erase(made.template_id)
        with pytest.raises(CorefaceProblem, match="template_erased"):
            await client.template(made.template_id)


def test_why_no_picture_was_usable(client: Coreface, api: RunningApi, fresh_png: FreshPng) -> None:  # noqa: F811
    picture = fresh_png()
    api.engine.faceless.add(digest_sample(picture))
    with pytest.raises(CorefaceProblem) as refused:
        client.enrol([picture])
    assert refused.value.code == "no_usable_sample"
    assert [sample.reason for sample in refused.value.samples] == ["no_face"]
    with pytest.raises(CorefaceProblem) as refused:
        client.verify("A" * 22, "B" * 22)
    assert refused.value.side == "reference"


def test_threads_share_a_client(client: Coreface, fresh_png: FreshPng) -> None:  # noqa: F811
    found: list[str] = []
    pictures = [fresh_png() for _ in range(8)]
    threads = [
        threading.Thread(target=lambda picture=picture: found.append(client.enrol([picture]).template_id))
        for picture in pictures
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8


Step = httpx.Response | httpx.TransportError


def failing(*steps: Step, seen: list[httpx.Request] | None = None) -> httpx.MockTransport:
    """A service that answers these, one after the other."""
    rest = iter(steps)

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        step = next(rest)
        if isinstance(step, httpx.TransportError):
            raise step
        return step

    return httpx.MockTransport(answer)


def problem(status: int, code: str, retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx.Response(status, json={"code": code, "detail": "wait", "request_id": "r" * 8}, headers=headers)


READY = {"status": "ready", "checks": []}


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("hung up"),
        httpx.ReadTimeout("late"),
        problem(503, "not_ready", "0"),
        problem(429, "overloaded", "0.01"),
        problem(504, "deadline_exceeded"),
        httpx.Response(502, text="<html>"),
    ],
)
def test_what_may_pass_is_tried_again(failure: Step) -> None:
    answered = httpx.Response(200, json=READY | {"unknown_to_this_client": 1})
    with Coreface(transport=failing(failure, failure, answered)) as client:
        assert client.ready().status == "ready"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_request"), (409, "fingerprint_mismatch"), (500, "inference_failed"), (423, "template_locked")],
)
def test_what_will_not_pass_is_told_at_once(status: int, code: str) -> None:
    seen: list[httpx.Request] = []
    with (
        Coreface(transport=failing(problem(status, code), seen=seen)) as client,
        pytest.raises(CorefaceProblem) as told,
    ):
        client.ready()
    assert (told.value.status, told.value.code, len(seen)) == (status, code, 1)


def test_a_wait_beyond_the_deadline_is_told_and_not_waited_for() -> None:
    refused = problem(429, "quota_exceeded", "3600")
    with Coreface(transport=failing(refused)) as client, pytest.raises(CorefaceProblem) as told:
        client.ready()
    assert (told.value.code, told.value.retry_after_s) == ("quota_exceeded", 3600.0)


def test_the_deadline_ends_all_attempts() -> None:
    down = [httpx.ConnectError("refused")] * 10_000
    with (
        Coreface(transport=failing(*down), deadline_s=0.05) as client,
        pytest.raises(CorefaceUnreachable, match="ConnectError"),
    ):
        client.ready()


def test_what_is_sent_again_carries_the_same_key() -> None:
    seen: list[httpx.Request] = []
    answered = httpx.Response(
        200,
        json={
            "results": [],
            "operating_point": "x",
            "fmr": 0.1,
            "fingerprint": "f",
            "pad": "not_performed",
            "matches": 0,
            "expected_false_matches": 0.0,
        },
    )
    with Coreface(transport=failing(httpx.ReadError("hung up"), answered, answered, seen=seen)) as client:
        client.verify_pairs([("a", "b")])
        client.verify_pairs([("a", "b")], idempotency_key="mine")
    keys = [request.headers["idempotency-key"] for request in seen]
    assert keys[0] == keys[1] and len(keys[0]) == 36
    assert keys[2] == "mine"


def test_an_erasure_whose_answer_was_lost_is_done() -> None:
    with Coreface(transport=failing(httpx.ReadError("hung up"), problem(410, "template_erased"))) as client:
        client.erase("A" * 22)
    with Coreface(transport=failing(problem(410, "template_erased"))) as client, pytest.raises(CorefaceProblem):
        client.erase("A" * 22)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="hello"),
        httpx.Response(404, text="nginx"),
        httpx.Response(200, json={"status": "fine"}),
    ],
)
def test_what_is_no_coreface_service(answer: httpx.Response) -> None:
    with Coreface(transport=failing(answer)) as client, pytest.raises(CorefaceUnreachable):
        client.ready()


def test_no_failure_is_ever_a_match(fresh_png: FreshPng) -> None:  # noqa: F811
    for answer in (httpx.Response(200, json={"decision": "match"}), httpx.Response(200, json={"decision": "perhaps"})):
        with Coreface(transport=failing(answer)) as client, pytest.raises(CorefaceUnreachable):
            client.verify("a", "b")


def test_nothing_secret_is_shown() -> None:
    client = Coreface("http://127.0.0.1:1", api_key="cf_secret")
    vector = Vector([0.123, 0.456], "f")
    shown = f"{client!r} {vector!r} {SealedTemplate('c2VhbGVk')!r}"
    client.close()
    assert not any(secret in shown for secret in ("cf_secret", "0.123", "c2VhbGVk"))


def test_the_key_is_sent_in_the_header_alone() -> None:
    seen: list[httpx.Request] = []
    with Coreface(api_key="cf_secret", transport=failing(httpx.Response(200, json=READY), seen=seen)) as client:
        client.ready()
    assert seen[0].headers["authorization"] == "Bearer cf_secret"
    assert "secret" not in str(seen[0].url)


def test_importing_it_loads_nothing_of_the_server() -> None:
    import subprocess
    import sys

    code = (
        "import sys, service.client; "
        "bad = {'fastapi', 'uvicorn', 'redis', 'cv2', 'onnx', 'onnxruntime', 'openvino', 'typer'} & set(sys.modules); "
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
