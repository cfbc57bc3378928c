from __future__ import annotations

import httpx
import pytest

from service.cli.service_connection import ServiceConnection, ServiceProblemError, connect_to_service
from service.errors import SetupError


def connection(*responses: httpx.Response | Exception) -> tuple[ServiceConnection, list[httpx.Request]]:
    waiting = list(responses)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        response = waiting.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://service")
    return ServiceConnection(client), seen


async def test_a_busy_service_is_asked_again() -> None:
    busy = httpx.Response(429, json={"code": "overloaded"}, headers={"Retry-After": "0"})
    service, seen = connection(busy, busy, httpx.Response(200, json={"decision": "match"}))
    assert await service.verify({}) == {"decision": "match"}
    assert len(seen) == 3


async def test_a_service_that_stays_busy_is_told() -> None:
    busy = httpx.Response(503, json={"code": "not_ready", "detail": "No worker."}, headers={"Retry-After": "0"})
    service, _ = connection(*[busy] * 8)
    with pytest.raises(ServiceProblemError, match="No worker"):
        await service.verify({})


async def test_a_problem_is_passed_on() -> None:
    service, seen = connection(httpx.Response(422, json={"code": "no_usable_sample", "detail": "None."}))
    with pytest.raises(ServiceProblemError) as caught:
        await service.enrol([b"x"], {"face_policy": "largest"}, [])
    assert caught.value.problem["code"] == "no_usable_sample"
    assert len(seen) == 1


@pytest.mark.parametrize(
    "response",
    [httpx.Response(200, text="<html>"), httpx.Response(502, text="bad gateway"), httpx.Response(200, json=[1])],
)
async def test_what_is_no_coreface_is_told(response: httpx.Response) -> None:
    service, _ = connection(response)
    with pytest.raises(SetupError, match="no coreface service"):
        await service.verify({})


async def test_a_silent_host_is_told() -> None:
    service, _ = connection(httpx.ConnectError("refused"))
    with pytest.raises(SetupError, match="coreface serve"):
        await service.verify({})


@pytest.mark.parametrize("url", ["http://[", "nonsense", "http://"])
async def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(SetupError):
        async with connect_to_service(url) as service:
            await service.verify({})
