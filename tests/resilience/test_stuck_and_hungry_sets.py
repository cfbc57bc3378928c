"""Sets whose computation never ends, or that do not fit into memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.engine.worker import STUCK
from tests.resilience.canaries import CanarySet
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.faulty_worker import HANGING, HEAVY, MOST_HEAVY, TOO_HEAVY
from tests.resilience.site import Site, jobs_with_workers, until

TIMEOUT_S = 3
JSON = {"content-type": "application/json"}
_MOST_CROWDS = 10


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Iterator[Site]:
    """A site whose requests, and so its workers' batches, may not take long."""
    settings = {"COREFACE_LIMITS__REQUEST_TIMEOUT_S": str(TIMEOUT_S)}
    with Site(tmp_path_factory.mktemp("impatient"), apis=1, workers=2, settings=settings) as site:
        yield site


def test_a_set_that_hangs_its_worker_twice_is_refused_and_others_succeed(impatient: Site, measured: Measure) -> None:
    hanging = CanarySet.fresh(HANGING)
    seen: Counter[str] = Counter()
    exits: list[int] = []
    with impatient.store_admin() as admin, CanaryClients(impatient.url, senders=4, per_second=10) as others:
        others.wait_for(10)
        began = time.monotonic()
        for _ in range(2):
            seen[_answer(impatient, hanging)] += 1
            until(lambda: any(not worker.running for worker in impatient.workers))
            interrupted = jobs_with_workers(admin)
            exits += [worker.wait() for worker in impatient.workers if not worker.running]
            impatient.revive_workers()
            until(lambda interrupted=interrupted: not interrupted & jobs_with_workers(admin))  # type: ignore[misc]
        seen[_answer(impatient, hanging)] += 1
        refused_after_s = time.monotonic() - began
        impatient.wait_until_workers_are_ready()
        others.wait_for(20)
    measured(
        answers=dict(seen),
        exit_statuses=exits,
        refused_for_good_after_s=f"{refused_after_s:.1f}",
        other_sets=len(others.outcomes),
        sent_again=dict(others.hiccups),
        failed=len(others.failures),
    )
    assert exits == [STUCK, STUCK]
    assert seen == {"504 deadline_exceeded": 2, "422 set_quarantined": 1}
    assert others.failures == []


def test_memory_that_does_for_few_does_for_many(impatient: Site, measured: Measure) -> None:
    sets = 8 * MOST_HEAVY
    before = [worker.pid for worker in impatient.workers]
    halved = 0
    with ThreadPoolExecutor(sets) as clients:
        # Whether enough sets meet in one batch is up to the machine.
        for _ in range(_MOST_CROWDS):
            answers = list(clients.map(lambda _: _answer(impatient, CanarySet.fresh(HEAVY)), range(sets)))
            assert answers == ["201"] * sets
            halved = impatient.faults.noted("heavy")
            if halved:
                break
    measured(sets_at_once=sets, batches_that_did_not_fit=halved)
    assert halved, "no batch held more than fits"
    assert _answer(impatient, CanarySet.fresh(TOO_HEAVY)) == "503 out_of_memory"
    assert _answer(impatient, CanarySet.fresh()) == "201"
    assert [worker.pid for worker in impatient.workers if worker.running] == before


def _answer(site: Site, canary: CanarySet) -> str:
    response = httpx.post(f"{site.url}/v1/templates", content=canary.body(), headers=JSON, timeout=60.0)
    return f"{response.status_code} {response.json()['code']}" if response.is_error else str(response.status_code)
