"""Clients that hang up leave nothing behind: no place in a queue, no job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.resilience.canaries import CanarySet
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.raw_http import Connection
from tests.resilience.site import Site, job_stream, jobs_with_workers, until

AT_ONCE = 200
MOST_TAKEN = 0.9
"""Of what was given up: what is with the workers by then is done, the rest is dropped."""
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
    taken: dict[str, float] = {"through the balancer": 0.0, "directly": 0.0}
    rounds = count(2, 6)
    for number in range(rounds):
        way = list(taken)[number % 2]
        before = _taken(site)
        url = site.url if way == "through the balancer" else site.api_urls[number // 2 % len(site.api_urls)]
        asyncio.run(_give_up(site, url))
        until(lambda: not any(_held(site).values()))
        with site.store_admin() as admin:
            until(lambda admin=admin: not jobs_with_workers(admin) and not admin.xlen(job_stream(admin)))  # type: ignore[misc]
        taken[way] += _taken(site) - before
    given_up = rounds // 2 * AT_ONCE
    measured(given_up_either_way=given_up, taken_by_workers_all_the_same=taken)
    assert max(taken.values()) <= MOST_TAKEN * given_up
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


def _taken(site: Site) -> float:
    """Sets that workers were done with, in whatever way."""
    return sum(site.metric(url, "coreface_worker_sets_total") for url in site.worker_urls)


def _held(site: Site) -> dict[str, float]:
    held = {name: sum(site.metric(url, name) for url in site.api_urls) for name in GAUGES}
    held[REQUESTS] -= len(site.api_urls)  # those that ask for the metrics
    return held
