"""Ten times what the workers can do: as much is done as at their peak, and the rest is told to come again, at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson

from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.open_loop import Outcomes
from tests.resilience.site import Site

SERVICE_S = 0.1
"""Of one set with one of two workers: twenty sets a second, which leaves the processors time."""
LEAST_GOODPUT = 0.9
LEAST_IN_SHORT = 0.75
"""Of the peak: the short version counts some seconds only, beside other tests."""


def test_ten_times_the_peak_is_shed_and_the_peak_is_done(
    tmp_path: Path, long: bool, count: Callable[[int, int], int], measured: Measure, default_pack_path: Path
) -> None:
    settings = {"COREFACE_LIMITS__REQUEST_TIMEOUT_S": "3", "COREFACE_MAX_BATCH_SETS": "4"}
    seconds = count(8, 300)
    with Site(tmp_path, apis=2, workers=2, service_s=SERVICE_S, settings=settings) as site:
        peak = _peak(site, count(3, 20))
        outcomes = _flood(site.url, 10 * peak, seconds)
        late = site.faults.noted("late")
    # The queue fills and empties at the ends.
    begin, end = 2.0, outcomes.seconds
    goodput = sum(begin <= at <= end for at in outcomes.made_at) / (end - begin)
    rate = outcomes.sent / outcomes.seconds
    measured(
        peak_per_s=f"{peak:.1f}",
        sent=f"{outcomes.sent} in {outcomes.seconds:.0f} s, {rate / peak:.1f} times the peak",
        goodput_of_peak=f"{goodput / peak:.2f}",
        answers=dict(outcomes.statuses),
        made_ms=quantiles_ms(outcomes.made_s),
        shed_ms=quantiles_ms(outcomes.shed_s),
        begun_after_their_deadline=late,
    )
    assert set(outcomes.statuses) <= {"201", "429 overloaded", "504 deadline_exceeded"}
    assert outcomes.statuses.get("429 overloaded", 0) > outcomes.sent / 2
    assert outcomes.without_advice == 0
    assert goodput >= (LEAST_GOODPUT if long else LEAST_IN_SHORT) * peak
    assert late == 0


def _peak(site: Site, seconds: int) -> float:
    """Sets a second when there always is one more, and none has to wait for long."""
    with CanaryClients(site.url, senders=16, retry=False) as clients:
        clients.wait_for(20)
        first = len(clients.outcomes)
        began = clients.outcomes[first - 1].ended_at
        clients.wait_for(seconds * int(2 / SERVICE_S))
        rate = (len(clients.outcomes) - first) / (clients.outcomes[-1].ended_at - began)
    assert clients.failures == []
    return rate


def _flood(url: str, rate: float, seconds: float) -> Outcomes:
    command = [sys.executable, "-m", "tests.resilience.open_loop", url, str(rate), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Outcomes(**orjson.loads(done.stdout))
