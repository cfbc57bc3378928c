"""A picture that ends the process of its native decoder: it costs two workers their lives, and nobody else anything."""

from __future__ import annotations

import base64
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest

from tests.hostile.photographs import encode, photograph_rgb
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.crashing_decoder import POISON
from tests.resilience.site import Site

DEATHS = 2
"""Of workers, before a set is refused."""


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("fragile")
    with Site(directory, apis=1, workers=2, stand_in="tests.resilience.crashing_decoder") as site:
        yield site


def test_a_crash_in_the_decoder_ends_in_a_refusal_of_its_set_alone(
    fragile: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    rounds = count(2, 50)
    exits: list[int] = []
    answers: list[str] = []
    with CanaryClients(fragile.url, senders=4, per_second=10) as others, ThreadPoolExecutor(1) as sender:
        others.wait_for(10)
        for _ in range(rounds):
            poisoned = poisoned_set()
            exits += _revive_until_answered(fragile, answer := sender.submit(send, fragile, poisoned))
            answers.append(answer.result())
            # Known by now: nobody dies of it again.
            answers.append(send(fragile, poisoned))
        fragile.wait_until_workers_are_ready()
        others.wait_for(10)
    measured(crashes=len(exits), other_sets=len(others.outcomes), failed=len(others.failures))
    assert answers == ["422 set_quarantined"] * (2 * rounds)
    assert exits == [-signal.SIGSEGV] * (DEATHS * rounds)
    assert others.failures == []
    assert all(worker.running for worker in fragile.workers)


def poisoned_set() -> bytes:
    """One that nobody sent before: a sound picture, and one with bytes that its decoder cannot take."""
    picture = photograph_rgb(64, 48)
    fresh = secrets.token_bytes(8)
    samples = [encode(picture, "JPEG", comment=fresh), encode(picture, "JPEG", comment=fresh + POISON)]
    return orjson.dumps({"samples": [base64.b64encode(sample).decode() for sample in samples]})


def send(site: Site, body: bytes) -> str:
    headers = {"content-type": "application/json"}
    response = httpx.post(f"{site.url}/v1/templates", content=body, headers=headers, timeout=60.0)
    return f"{response.status_code} {response.json()['code']}" if response.is_error else str(response.status_code)


def _revive_until_answered(site: Site, answer: Future[str]) -> list[int]:
    """As a supervisor does; the exit statuses of those that ended."""
    exits = []
    answered = False
    while not answered:
        answered = answer.done()  # once more after it: the last one that ended may not have been seen
        for worker in site.workers:
            if not worker.running:
                exits.append(worker.wait())
                worker.start()
        time.sleep(0.02)
    return exits
