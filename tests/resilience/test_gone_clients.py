"""Clients that hang up leave nothing behind: no place in a queue, no job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.resilience.canaries import CanarySet
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.raw_http import Connection
from tests.resilience.site import Site, job_stream, jobs_with_workers, until

AT_ONCE = 100
REQUESTS = "coreface_requests_in_flight"
GAUGES = (
    "coreface_engine_sets_waiting",
    "coreface_engine_samples_waiting",
    "coreface_engine_sets_in_flight",
    REQUESTS,
)


def test_requests_that_were_given_up_hold_no_place(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    made_before = sum(site.metric(url, "coreface_worker_sets_total") for url in site.worker_urls)
    rounds = count(2, 10)
    for number in range(rounds):
        # Of both processes, and through the balancer.
        url = (*site.api_urls, site.url)[number % (len(site.api_urls) + 1)]
        asyncio.run(_give_up(site, url))
    given_up = rounds * AT_ONCE
    until(lambda: not any(_held(site).values()))
    with site.store_admin() as admin:
        until(lambda: not jobs_with_workers(admin) and not admin.xlen(job_stream(admin)))
    made = sum(site.metric(url, "coreface_worker_sets_total") for url in site.worker_urls) - made_before
    measured(given_up=given_up, taken_by_workers_all_the_same=f"{made:.0f}")
    assert made < given_up
    with CanaryClients(site.url) as clients:
        clients.wait_for(20)
    assert clients.failures == []


async def _give_up(site: Site, url: str) -> None:
    """Send many requests at once, and hang up once some of them are with the workers and others wait."""
    connections = [Connection(url) for _ in range(AT_ONCE)]
    await asyncio.gather(
        *(connection.send("POST", "/v1/templates", CanarySet.fresh().body()) for connection in connections)
    )
    await asyncio.to_thread(until, lambda: _held(site)["coreface_engine_sets_in_flight"])
    for connection in connections:
        connection.close()


def _held(site: Site) -> dict[str, float]:
    held = {name: sum(site.metric(url, name) for url in site.api_urls) for name in GAUGES}
    held[REQUESTS] -= len(site.api_urls)  # those that ask for the metrics
    return held
