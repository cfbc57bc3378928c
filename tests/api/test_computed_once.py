"""Crowds of equal requests, spread over two API replicas on one store."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
import pytest

from service.pipeline.set_keys import digest_sample
from service.settings import Limits
from service.types import SetRequest, SetResult
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import FakeEngine

FreshPng = Callable[[], bytes]
PATIENT = Limits(request_timeout_s=60.0)
REQUESTS = 1000


class SlowEngine(FakeEngine):
    """Takes its time, so that requests meet; the sets of `failing` fail once."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    async def create(self, request: SetRequest) -> SetResult:
        await asyncio.sleep(0.02)
        result = await super().create(request)
        for digest in self.failing.intersection(sample.digest for sample in request.samples):
            self.failing.discard(digest)
            raise ZeroDivisionError
        return result


@pytest.fixture
def replicas(valkey_url: str) -> Iterator[tuple[RunningApi, RunningApi]]:
    first, second = RunningApi(valkey_url, PATIENT), RunningApi(valkey_url, PATIENT)
    first.engine, second.engine = SlowEngine(), SlowEngine()
    with first, second:
        yield first, second


@dataclass(frozen=True)
class Sending:
    sample: bytes
    key: str | None = None


async def send_all(replicas: Sequence[RunningApi], sendings: Sequence[Sending]) -> list[httpx.Response]:
    """All at once, in turns to either replica."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=60.0, limits=limits, trust_env=False) as client:

        async def send(sending: Sending, api: RunningApi) -> httpx.Response:
            headers = {} if sending.key is None else {"idempotency-key": sending.key}
            body = {"samples": [base64.b64encode(sending.sample).decode()]}
            return await client.post(f"http://127.0.0.1:{api.port}/v1/templates", json=body, headers=headers)

        turns = (replicas[number % len(replicas)] for number in range(len(sendings)))
        return await asyncio.gather(*map(send, sendings, turns))


def computed(replicas: Sequence[RunningApi]) -> Counter[str]:
    """How often each set went to an engine."""
    return Counter(sample.digest for api in replicas for request in api.engine.requests for sample in request.samples)


async def test_equal_sets_are_computed_once_over_all_replicas(
    replicas: tuple[RunningApi, RunningApi], fresh_png: FreshPng
) -> None:
    samples = [fresh_png() for _ in range(100)]
    sendings = [Sending(sample) for sample in samples] * (REQUESTS // len(samples))
    random.Random(1).shuffle(sendings)
    responses = await send_all(replicas, sendings)
    assert {response.status_code for response in responses} <= {200, 201}
    assert set(computed(replicas).values()) == {1}
    assert len(computed(replicas)) == len(samples)
    templates = {
        (sending.sample, response.json()["template_id"]) for sending, response in zip(sendings, responses, strict=True)
    }
    assert len(templates) == len(samples)


async def test_equal_keys_are_answered_once_over_all_replicas(
    replicas: tuple[RunningApi, RunningApi], fresh_png: FreshPng
) -> None:
    keys = [f"key {number}" for number in range(5)]
    sendings = [Sending(sample, key) for key in keys for sample in (fresh_png(), fresh_png())]
    sendings *= REQUESTS // len(sendings)
    random.Random(2).shuffle(sendings)
    responses = await send_all(replicas, sendings)
    for key in keys:
        answers = [
            (sending.sample, response)
            for sending, response in zip(sendings, responses, strict=True)
            if sending.key == key
        ]
        winners = [(sample, response) for sample, response in answers if response.status_code == 201]
        assert len({sample for sample, _ in winners}) == 1, "one of the two requests had the key"
        assert len({response.content for _, response in winners}) == 1
        assert len(winners) == len(answers) / 2
        assert sum("idempotent-replayed" not in response.headers for _, response in winners) == 1
        refused = {response.json()["code"] for _, response in answers if response.status_code != 201}
        assert refused == {"idempotency_key_reused"}
    assert sum(computed(replicas).values()) == len(keys)


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_failure_costs_those_who_shared_it_and_nobody_else(
    replicas: tuple[RunningApi, RunningApi], fresh_png: FreshPng, keyed: bool
) -> None:
    sample = fresh_png()
    sendings = [Sending(sample, "key" if keyed else None)] * 100
    failing = replicas[0].engine
    assert isinstance(failing, SlowEngine)
    failing.failing.add(digest_sample(sample))
    responses = await send_all(replicas, sendings)
    assert {response.status_code for response in responses} <= {200, 201, 500}
    assert len({response.json()["template_id"] for response in responses if response.status_code != 500}) == 1
    assert all(response.status_code != 500 for response in responses[1::2]), "of the replica whose engine did not fail"
    assert sum(computed(replicas).values()) <= 2
    again = await send_all(replicas, sendings[:2])
    assert {response.json()["template_id"] for response in again} == {
        response.json()["template_id"] for response in responses if response.status_code != 500
    }
