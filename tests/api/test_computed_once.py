"""Crowds of equal requests, spread over two API replicas on one store."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from service.pipeline.set_keys import digest_sample
from service.settings import Limits
from service.types import SetRequest, SetResult
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import FakeEngine

FreshPng = Callable[[], bytes]
PATIENT = Limits(request_timeout_s=120.0)
PATIENT_LIFE_S = 60.0
"""Of claims: a machine that is busy with a thousand requests at once stands still for seconds."""
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
    first, second = (RunningApi(valkey_url, PATIENT, claim_life_s=PATIENT_LIFE_S) for _ in range(2))
    first.engine, second.engine = SlowEngine(), SlowEngine()
    with first, second:
        yield first, second


@dataclass(frozen=True)
class Sending:
    sample: bytes
    key: str | None = None


@dataclass(frozen=True)
class Reply:
    status: int
    is_replayed: bool
    body: bytes

    def member(self, name: str) -> object:
        return json.loads(self.body)[name]


async def send(sending: Sending, api: RunningApi) -> Reply:
    # Written by hand: a client library takes longer for a crowd than the service does.
    body = b'{"samples": ["%b"]}' % base64.b64encode(sending.sample)
    key = b"" if sending.key is None else b"Idempotency-Key: %b\r\n" % sending.key.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"%bContent-Length: %d\r\n\r\n%b" % (key, len(body), body)
    )
    head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return Reply(int(head.split()[1]), b"idempotent-replayed: true" in head.lower(), answer)


async def send_all(replicas: Sequence[RunningApi], sendings: Sequence[Sending]) -> list[Reply]:
    """All at once, in turns to either replica."""
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
    replies = await send_all(replicas, sendings)
    assert {reply.status for reply in replies} <= {200, 201}
    assert set(computed(replicas).values()) == {1}
    assert len(computed(replicas)) == len(samples)
    templates = {
        (sending.sample, reply.member("template_id")) for sending, reply in zip(sendings, replies, strict=True)
    }
    assert len(templates) == len(samples)


async def test_equal_keys_are_answered_once_over_all_replicas(
    replicas: tuple[RunningApi, RunningApi], fresh_png: FreshPng
) -> None:
    keys = [f"key {number}" for number in range(5)]
    sendings = [Sending(sample, key) for key in keys for sample in (fresh_png(), fresh_png())]
    sendings *= REQUESTS // len(sendings)
    random.Random(2).shuffle(sendings)
    replies = await send_all(replicas, sendings)
    for key in keys:
        answers = [
            (sending.sample, reply) for sending, reply in zip(sendings, replies, strict=True) if sending.key == key
        ]
        winners = [(sample, reply) for sample, reply in answers if reply.status == 201]
        assert len({sample for sample, _ in winners}) == 1, "one of the two requests had the key"
        assert len({reply.body for _, reply in winners}) == 1
        assert len(winners) == len(answers) / 2
        assert sum(not reply.is_replayed for _, reply in winners) == 1
        refused = {reply.member("code") for _, reply in answers if reply.status != 201}
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
    replies = await send_all(replicas, sendings)
    assert {reply.status for reply in replies} <= {200, 201, 500}
    assert len({reply.member("template_id") for reply in replies if reply.status != 500}) == 1
    assert all(reply.status != 500 for reply in replies[1::2]), "of the replica whose engine did not fail"
    assert sum(computed(replicas).values()) <= 2
    again = await send_all(replicas, sendings[:2])
    assert {reply.member("template_id") for reply in again} == {
        reply.member("template_id") for reply in replies if reply.status != 500
    }
