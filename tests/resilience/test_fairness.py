"""One tenant that floods the workers delays the others by a few turns, not by its queue."""

from __future__ import annotations

import asyncio
import os
import statistics
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field

from service.engine.remote import RemoteEngine
from service.errors import OverloadedError
from service.pipeline.set_keys import digest_sample
from service.store.connection import connect_redis
from service.store.sealing import PayloadSealer, SealingPurpose
from service.types import FacePolicy, Sample, SetRequest
from tests.engine.polling import until
from tests.resilience.canaries import CanarySet
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site

LIGHT = tuple(f"light {number}" for number in range(9))
FLOOD = 200
"""Sets of the heavy tenant that are always waiting or being worked on."""


@dataclass
class Done:
    heavy: int = 0
    behind: list[int] = field(default_factory=list)
    """Of each set of a light tenant: how many of the heavy tenant's were done between its coming and its answer."""
    light_s: list[float] = field(default_factory=list)


async def test_a_flood_delays_others_by_a_few_turns(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    fingerprint = site.fingerprint()
    key = b64decode(site.apis[0].environment["COREFACE_SEALING_KEY"])
    redis = connect_redis(site.store_url, timeout_s=5.0)
    sealer = PayloadSealer((key,), SealingPurpose.ENGINE)
    engine = RemoteEngine([redis], sealer, fingerprint, max_waiting_sets=2 * FLOOD, send_timeout_s=5.0)
    await engine.start()
    done = Done()
    try:
        await _run(engine, fingerprint, count(5, 60), done)
        in_flight = engine.gate.capacity
    finally:
        await engine.stop()
        await redis.aclose()
    measured(
        sets_of_the_heavy_tenant=done.heavy,
        sets_of_nine_light_ones=len(done.behind),
        sets_with_the_workers_at_once=in_flight,
        turns_that_light_sets_waited=f"median {statistics.median(done.behind):g}, most {max(done.behind)}",
        light_ms=quantiles_ms(done.light_s),
    )
    # What is with the workers already goes first; of what waits, a light tenant's set is among the next.
    assert statistics.median(done.behind) <= in_flight + len(LIGHT)
    assert 2 * (in_flight + len(LIGHT)) < FLOOD, "in order of arrival it would wait for no more"


async def _run(engine: RemoteEngine, fingerprint: str, sets: int, done: Done) -> None:
    """Each light tenant sends so many sets, one after the other, while the heavy one keeps a flood of them waiting."""

    async def create(tenant: str) -> None:
        samples = tuple(Sample(digest_sample(data), data) for data in CanarySet.fresh().samples[:1])
        request = SetRequest(os.urandom(8).hex(), samples, (), FacePolicy.LARGEST, fingerprint, 60.0, tenant=tenant)
        await engine.create(request)

    async def heavy() -> None:
        while True:
            try:
                await create("heavy")
            except OverloadedError:
                await asyncio.sleep(0.05)
            else:
                done.heavy += 1

    async def light(tenant: str) -> None:
        for _ in range(sets):
            before, began = done.heavy, asyncio.get_running_loop().time()
            await create(tenant)
            done.behind.append(done.heavy - before)
            done.light_s.append(asyncio.get_running_loop().time() - began)

    flood = [asyncio.create_task(heavy()) for _ in range(FLOOD)]
    try:
        await until(lambda: done.heavy > FLOOD / 4)
        await asyncio.gather(*(light(tenant) for tenant in LIGHT))
    finally:
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
