from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from service.errors import DeadlineExceededError
from service.store.claims import Claim, Claims, new_claim
from service.store.connection import connect_redis
from tests.servers import RunningServer
from tests.store.samples import PATIENT_S

LIFE_S = 3.0
SHORT_LIFE_S = 0.3


class Process:
    """One of those that share some work, whose outcome takes the place of the claim."""

    def __init__(self, redis: Redis, *, life_s: float = LIFE_S) -> None:
        self.redis = redis
        self.claims = Claims(redis, life_s=life_s)
        self.value = new_claim("claim:")
        self.began = asyncio.Event()

    async def look(self) -> str | Claim:
        held = await self.redis.set("work", self.value, nx=True, get=True, px=self.claims.life_ms)
        if held is None or held.decode() == self.value:
            return Claim.OURS
        return Claim.OTHERS if held.startswith(b"claim:") else held.decode()

    async def outcome(self, work: Callable[[], object], wait_s: float = PATIENT_S) -> str:
        async with self.claims.outcome_or_turn("work", self.value, self.look, wait_s) as found:
            if found is not None:
                return found
            self.began.set()
            made = work()
            if asyncio.iscoroutine(made):
                made = await made
            await self.redis.set("work", str(made))
            return str(made)


async def test_one_works_and_the_others_find_what_it_made(redis: Redis) -> None:
    worked: list[int] = []
    processes = [Process(redis) for _ in range(20)]

    async def work(number: int) -> str:
        worked.append(number)
        await asyncio.sleep(0.05)
        return f"made by {number}"

    outcomes = await asyncio.gather(
        *(process.outcome(lambda number=number: work(number)) for number, process in enumerate(processes))
    )
    assert len(worked) == 1
    assert set(outcomes) == {f"made by {worked[0]}"}


async def test_work_that_outlasts_the_life_of_its_claim_is_not_begun_again(redis: Redis) -> None:
    holder, other = Process(redis, life_s=1.0), Process(redis)
    working = asyncio.create_task(holder.outcome(lambda: asyncio.sleep(1.5, "slow")))
    await holder.began.wait()
    assert await other.outcome(lambda: pytest.fail("begun twice")) == "slow"
    assert await working == "slow"


async def test_failed_work_passes_to_the_next_one(redis: Redis) -> None:
    holder, other = Process(redis), Process(redis)
    with pytest.raises(ZeroDivisionError):
        await holder.outcome(lambda: 1 // 0)
    assert await redis.exists("work") == 0
    assert await other.outcome(lambda: "second") == "second"


async def test_cancelled_work_passes_to_the_next_one(redis: Redis) -> None:
    holder, other = Process(redis), Process(redis)
    working = asyncio.create_task(holder.outcome(lambda: asyncio.sleep(PATIENT_S)))
    await holder.began.wait()
    waiting = asyncio.create_task(other.outcome(lambda: "second"))
    working.cancel()
    assert await waiting == "second"
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_claim_that_was_taken_for_one_who_is_gone_is_dropped(redis: Redis) -> None:
    process, taken = Process(redis), asyncio.Event()

    async def look() -> str | Claim:
        await process.look()
        taken.set()
        await asyncio.sleep(PATIENT_S)  # the answer is late
        return Claim.OURS

    async def ask() -> None:
        async with process.claims.outcome_or_turn("work", process.value, look, PATIENT_S):
            pytest.fail("no answer came")

    asking = asyncio.create_task(ask())
    await taken.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await redis.exists("work") == 0


async def test_the_claim_of_a_dead_process_runs_out(redis: Redis) -> None:
    await redis.set("work", new_claim("claim:"), px=int(SHORT_LIFE_S * 1000))
    assert await Process(redis).outcome(lambda: "second") == "second"


async def test_who_waits_too_long_is_told(redis: Redis) -> None:
    await redis.set("work", new_claim("claim:"))
    with pytest.raises(DeadlineExceededError):
        await Process(redis).outcome(lambda: "never", wait_s=0.1)
    with pytest.raises(DeadlineExceededError):
        await Process(redis).outcome(lambda: "never", wait_s=-1.0)


async def test_a_claim_that_was_lost_is_neither_renewed_nor_dropped(redis: Redis) -> None:
    holder = Process(redis, life_s=SHORT_LIFE_S)
    working = asyncio.create_task(holder.outcome(lambda: asyncio.sleep(PATIENT_S)))
    await holder.began.wait()
    await redis.set("work", "claim:of another", px=60_000)
    await asyncio.sleep(SHORT_LIFE_S)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert await redis.get("work") == b"claim:of another"
    assert await redis.pttl("work") > 30_000


async def test_work_goes_on_while_the_server_is_away(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    client = connect_redis(server.url, timeout_s=0.2)
    holder = Process(client, life_s=SHORT_LIFE_S)

    async def work() -> str:
        server.kill()
        await asyncio.sleep(SHORT_LIFE_S)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await holder.outcome(work)
    await client.aclose()
