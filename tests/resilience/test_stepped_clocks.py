"""Clocks of machines that are set forward and back by an hour while the service runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.cluster.members import Member
from tests.resilience.canaries import CanarySet
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site, until

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
STEP_S = 3600

pytestmark = pytest.mark.skipif(
    shutil.which("faketime") is None or LIBRARY is None, reason="faketime (libfaketimeMT) not installed"
)


class Clock:
    """The time of day of one process; its monotonic clock is left alone, as a step leaves it."""

    def __init__(self, member: Member, file: Path) -> None:
        self._file = file
        self.step(0)
        member.environment |= {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # For older C libraries; with newer ones it makes waits with a timeout late.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def step(self, seconds: int) -> None:
        """From the machine's own time."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.rename(self._file)


def test_sets_succeed_whatever_the_clocks_say(
    tmp_path: Path, count: Callable[[int, int], int], measured: Measure, default_pack_path: Path
) -> None:
    site = Site(tmp_path, apis=1, workers=1)
    api = Clock(site.apis[0], tmp_path / "api.time")
    worker = Clock(site.workers[0], tmp_path / "worker.time")
    rounds = count(1, 20)
    with site, CanaryClients(site.url, senders=4, per_second=20, compared=1) as clients:
        clients.wait_for(10)
        for _ in range(rounds):
            for api_s, worker_s in ((STEP_S, 0), (0, STEP_S), (-STEP_S, STEP_S), (STEP_S, -STEP_S)):
                api.step(api_s)
                worker.step(worker_s)
                until(lambda api_s=api_s: abs(_api_time(site) - time.time() - api_s) < STEP_S / 60)  # type: ignore[misc]
                clients.wait_for(20)
        assert clients.failures == []
    measured(
        steps=4 * rounds,
        requests=len(clients.outcomes) + clients.comparisons,
        failed=len(clients.failures),
        sent_again=dict(clients.hiccups),
        answered_within_ms=quantiles_ms([outcome.seconds for outcome in clients.outcomes]),
    )
    assert clients.failures == []


def _api_time(site: Site) -> float:
    """Unix seconds when the API process says that a template was made."""
    headers = {"content-type": "application/json"}
    with site.client() as client:
        made = client.post("/v1/templates", content=CanarySet.fresh().body(), headers=headers).raise_for_status().json()
    return datetime.fromisoformat(made["created_at"]).timestamp()
