from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from service.access.allowances import Budget
from service.store import keys
from service.store.budgets import DAY_S, RedisBudgets


@pytest.fixture
def budgets(redis: Redis) -> RedisBudgets:
    return RedisBudgets(redis, "acme")


async def test_no_more_than_the_limit_in_a_day(budgets: RedisBudgets, redis: Redis) -> None:
    assert await budgets.take(Budget.IMAGES, "k", 7, 10) == 0
    wait_s = await budgets.take(Budget.IMAGES, "k", 4, 10)
    assert DAY_S - 60 < wait_s <= DAY_S
    assert await budgets.take(Budget.IMAGES, "k", 3, 10) == 0, "what was refused took nothing"
    assert await budgets.take(Budget.IMAGES, "k", 1, 10) > 0
    await redis.delete(keys.budget_key("acme", "images", "k", ""))
    assert await budgets.take(Budget.IMAGES, "k", 10, 10) == 0


async def test_more_than_the_limit_at_once_is_never_there(budgets: RedisBudgets) -> None:
    assert await budgets.take(Budget.IMAGES, "k", 11, 10) >= 1


async def test_the_day_begins_with_the_first_use_and_is_not_put_off(budgets: RedisBudgets, redis: Redis) -> None:
    await budgets.take(Budget.IMAGES, "k", 1, 10)
    name = keys.budget_key("acme", "images", "k", "")
    await redis.pexpire(name, 5000)
    await budgets.take(Budget.IMAGES, "k", 1, 10)
    assert await redis.ttl(name) <= 5


async def test_budgets_of_keys_subjects_kinds_and_tenants_are_apart(budgets: RedisBudgets, redis: Redis) -> None:
    assert await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["a"]) == 0
    assert await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["a"]) > 0
    assert await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["b"]) == 0
    assert await budgets.take(Budget.RAW_SCORES, "other", 1, 1, ["a"]) == 0
    assert await budgets.take(Budget.IMAGES, "k", 1, 1, ["a"]) == 0
    assert await RedisBudgets(redis, "other").take(Budget.RAW_SCORES, "k", 1, 1, ["a"]) == 0


async def test_all_or_none_of_several(budgets: RedisBudgets) -> None:
    await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["b"])
    assert await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["a", "b"]) > 0
    assert await budgets.take(Budget.RAW_SCORES, "k", 1, 1, ["a"]) == 0


async def test_races_are_won_by_as_many_as_there_is_room_for(budgets: RedisBudgets) -> None:
    waits = await asyncio.gather(*(budgets.take(Budget.IMAGES, "k", 1, 10) for _ in range(40)))
    assert waits.count(0) == 10
