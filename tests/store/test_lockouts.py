from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from service.errors import TemplateLockedError, VerificationDelayedError
from service.settings import Lockout
from service.store import keys
from service.store.lockouts import RedisLockouts

LIMITS = Lockout(delay_after=2, delay_s=30.0, lock_after=4)
NAME = keys.failures_key("acme", "tpl")


@pytest.fixture
def lockouts(redis: Redis) -> RedisLockouts:
    return RedisLockouts(redis, LIMITS, 1000, "acme")


async def guess(lockouts: RedisLockouts, *template_ids: str, is_match: bool = False) -> None:
    ids = template_ids or ("tpl",)
    await lockouts.check(ids)
    await lockouts.settle(ids, is_match=is_match)


async def pass_time(redis: Redis, seconds: float, name: str = NAME) -> None:
    """By the store's clock, which decides."""
    last = int(await redis.hget(name, "last"))
    await redis.hset(name, "last", last - int(seconds * 1000))


async def test_after_some_failures_in_a_row_each_further_one_has_to_wait(lockouts: RedisLockouts, redis: Redis) -> None:
    await guess(lockouts)
    await guess(lockouts)
    with pytest.raises(VerificationDelayedError) as refusal:
        await guess(lockouts)
    assert 28 <= (refusal.value.retry_after_s or 0) <= 30
    await pass_time(redis, 30.1)
    await guess(lockouts)
    with pytest.raises(VerificationDelayedError):
        await guess(lockouts)


async def test_a_match_ends_the_row(lockouts: RedisLockouts, redis: Redis) -> None:
    await guess(lockouts)
    await guess(lockouts, is_match=True)
    assert not await redis.exists(NAME)
    await guess(lockouts)
    await guess(lockouts)


async def test_many_failures_lock_the_template_until_it_is_unlocked(lockouts: RedisLockouts, redis: Redis) -> None:
    for _ in range(4):
        await guess(lockouts)
        await pass_time(redis, 31)
    assert 0 < await redis.ttl(NAME) <= 1000, "no longer than a template lives"
    await pass_time(redis, 86_400)
    with pytest.raises(TemplateLockedError):
        await guess(lockouts, is_match=True)
    assert await lockouts.unlock("tpl")
    assert not await lockouts.unlock("tpl")
    await guess(lockouts, is_match=True)


async def test_nothing_is_written_where_nothing_fails(lockouts: RedisLockouts, redis: Redis) -> None:
    await lockouts.check(["tpl"])
    await guess(lockouts, is_match=True)
    assert await redis.dbsize() == 0


async def test_of_guesses_that_are_sent_together_no_more_are_answered(lockouts: RedisLockouts) -> None:
    for _ in range(10):
        await lockouts.check(["tpl"])
    outcomes = await asyncio.gather(
        *(lockouts.settle(["tpl"], is_match=False) for _ in range(9)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 2
    assert all(outcome is None or isinstance(outcome, VerificationDelayedError) for outcome in outcomes)
    with pytest.raises(VerificationDelayedError):
        await lockouts.settle(["tpl"], is_match=True)  # the tenth, and right


async def test_genuine_ones_that_are_sent_together_are_all_answered(lockouts: RedisLockouts) -> None:
    await guess(lockouts)
    for _ in range(10):
        await lockouts.check(["tpl"])
    await asyncio.gather(*(lockouts.settle(["tpl"], is_match=True) for _ in range(10)))


async def test_failures_are_forgotten_after_a_while(redis: Redis) -> None:
    limits = LIMITS.model_copy(update={"forget_s": 7.0})
    await guess(RedisLockouts(redis, limits, 1000, "acme"))
    assert 0 < await redis.ttl(NAME) <= 7


async def test_of_two_templates_one_that_is_locked_stops_both_and_counts_neither(
    lockouts: RedisLockouts, redis: Redis
) -> None:
    await guess(lockouts, "tpl")
    await guess(lockouts, "tpl")
    with pytest.raises(VerificationDelayedError):
        await guess(lockouts, "other", "tpl")
    assert not await redis.exists(keys.failures_key("acme", "other"))


async def test_templates_and_tenants_are_apart(lockouts: RedisLockouts, redis: Redis) -> None:
    await guess(lockouts)
    await guess(lockouts)
    await guess(lockouts, "other")
    await guess(RedisLockouts(redis, LIMITS, 1000, "other tenant"))


async def test_both_can_be_switched_off(redis: Redis) -> None:
    never = RedisLockouts(redis, Lockout(delay_after=0, lock_after=0), 1000, "acme")
    for _ in range(60):
        await guess(never)
    assert not await redis.exists(NAME)
    only_lock = RedisLockouts(redis, Lockout(delay_after=0, lock_after=3), 1000, "acme")
    for _ in range(3):
        await guess(only_lock)
    with pytest.raises(TemplateLockedError):
        await guess(only_lock)


async def test_nothing_is_asked_of_the_store_without_a_stored_template(lockouts: RedisLockouts, redis: Redis) -> None:
    await guess(lockouts, is_match=True)
    await lockouts.check([])
    await lockouts.settle([], is_match=False)
    assert await redis.dbsize() == 0
