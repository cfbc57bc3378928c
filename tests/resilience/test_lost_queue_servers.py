"""Two queue servers beside the store, one of which goes away; then the store does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.store_server import StoreServer
from tests.end_to_end.running_service import free_port
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site, until


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[list[StoreServer]]:
    servers = [StoreServer(tmp_path / f"queue {number}", free_port()) for number in (1, 2)]
    try:
        for server in servers:
            server.member.start()
        for server in servers:
            server.member.wait_until_ready()
        yield servers
    finally:
        for server in servers:
            server.member.end()


def test_the_other_queue_server_carries_on(
    tmp_path: Path,
    queues: list[StoreServer],
    count: Callable[[int, int], int],
    measured: Measure,
    default_pack_path: Path,
) -> None:
    settings = {"COREFACE_QUEUE_URLS": ",".join(server.url for server in queues)}
    kills = count(1, 10)
    back_after_s: list[float] = []
    with (
        Site(tmp_path / "site", workers=2, settings=settings, fsync="always") as site,
        CanaryClients(site.url, senders=12, per_second=0.5 * site.sets_per_s, compared=1) as clients,
    ):
        for number in range(kills):
            clients.wait_for(40)
            victim = queues[number % len(queues)]
            victim.member.kill()
            clients.wait_for(40)
            carried = _jobs_carried(queues[(number + 1) % len(queues)])
            clients.wait_for(40)
            assert _jobs_carried(queues[(number + 1) % len(queues)]) > carried
            victim.member.start()
            victim.member.wait_until_ready()
            until(lambda victim=victim: _jobs_carried(victim))  # type: ignore[misc]
        measured(
            queue_servers_killed=kills,
            requests=len(clients.outcomes) + clients.comparisons,
            failed=len(clients.failures),
            sent_again=dict(clients.hiccups),
        )
        for _ in range(kills):
            site.store.kill()
            time.sleep(1.0)
            site.store.start()
            site.store.wait_until_ready()
            began, seen = time.monotonic(), len(clients.outcomes)
            until(lambda seen=seen: len(clients.outcomes) > seen)  # type: ignore[misc]
            back_after_s.append(time.monotonic() - began)
            clients.wait_for(20)
        measured(store_killed=kills, first_set_after_the_store_is_back_ms=quantiles_ms(back_after_s))
    assert clients.failures == []
    assert len({outcome.template_id for outcome in clients.outcomes}) == len(clients.outcomes)


def _jobs_carried(server: StoreServer) -> int:
    """Since its last start."""
    with server.admin() as admin:
        calls: int = admin.info("commandstats").get("cmdstat_xadd", {"calls": 0})["calls"]
    return calls
