"""A store that is killed and started again under load: what was acknowledged is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site, until

LOSS_S = 2.0
"""Redis syncs its file every second, and puts a write off for two where the disk is slow."""


def test_a_store_that_syncs_always_loses_no_acknowledged_template(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    clients, _kills = _under_kills(site, count(2, 50), measured)
    assert site.absent([outcome.template_id or "" for outcome in clients.outcomes]) == []


def test_a_store_that_syncs_every_second_loses_a_moment_at_most(
    tmp_path: Path, long: bool, measured: Measure, default_pack_path: Path
) -> None:
    if not long:
        pytest.skip("in the long version alone")
    with Site(tmp_path, fsync="everysec") as site:
        clients, kills = _under_kills(site, 20, measured)
        absent = set(site.absent([outcome.template_id or "" for outcome in clients.outcomes]))
        measured(lost=len(absent))
        for outcome in clients.outcomes:
            if outcome.template_id in absent:
                assert any(kill - LOSS_S <= outcome.ended_at <= kill for kill in kills)


def _under_kills(site: Site, kills: int, measured: Measure) -> tuple[CanaryClients, list[float]]:
    """Clients that were busy meanwhile, and when the store was killed (monotonic seconds)."""
    killed_at: list[float] = []
    recovered_s: list[float] = []
    with CanaryClients(site.url, senders=16, per_second=0.5 * site.sets_per_s, compared=1) as clients:
        for _ in range(kills):
            clients.wait_for(40)
            killed_at.append(time.monotonic())
            site.store.kill()
            site.store.start()
            site.store.wait_until_ready()
            back_at = time.monotonic()
            seen = len(clients.outcomes)
            until(lambda seen=seen: len(clients.outcomes) > seen)  # type: ignore[misc]
            recovered_s.append(time.monotonic() - back_at)
        clients.wait_for(40)
    measured(
        kills=kills,
        acknowledged=len(clients.outcomes),
        failed=len(clients.failures),
        sent_again=dict(clients.hiccups),
        first_set_after_the_store_is_back_ms=quantiles_ms(recovered_s),
    )
    assert clients.failures == []
    site.wait_until_ready()
    return clients, killed_at
