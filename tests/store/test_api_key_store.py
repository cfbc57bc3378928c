from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from service.access.api_keys import ApiKey, Secret
from service.access.callers import Scope
from service.errors import StoreUnavailableError
from service.store import keys
from service.store.api_key_store import RedisApiKeyStore
from service.store.sealing import KEY_BYTES

KEY = bytes(range(KEY_BYTES))


def key(key_id: str = "0123456789", expires_at: float | None = None) -> ApiKey:
    return ApiKey(
        key_id=key_id,
        name="front door",
        tenant="acme",
        scopes=frozenset({Scope.VERIFY, Scope.SCORES_RAW}),
        images_per_day=100,
        created_at=5.0,
        expires_at=expires_at,
        secrets=(Secret(b"newer", None), Secret(b"older", 9.5)),
    )


@pytest.fixture
def store(redis: Redis) -> RedisApiKeyStore:
    return RedisApiKeyStore(redis, (KEY,))


async def test_what_is_kept_is_read_as_it_was(store: RedisApiKeyStore) -> None:
    await store.put(key())
    assert await store.get("0123456789") == key()
    assert await store.get("9876543210") is None


async def test_nothing_of_it_can_be_read_in_the_store(store: RedisApiKeyStore, redis: Redis) -> None:
    await store.put(key())
    kept = await redis.get(keys.api_key_key("0123456789"))
    assert not any(word in kept for word in (b"front", b"acme", b"verify", b"newer", b"older"))


async def test_they_are_listed_by_age_and_end_when_they_are_removed(store: RedisApiKeyStore, redis: Redis) -> None:
    await redis.set("coreface:other", b"x")
    for number in (3, 1, 2):
        await store.put(ApiKey(f"{number:010}", "n", "t", frozenset(), None, float(number), None, ()))
    assert [each.created_at for each in await store.list()] == [1.0, 2.0, 3.0]
    assert await store.remove("0000000002")
    assert not await store.remove("0000000002")
    assert [each.created_at for each in await store.list()] == [1.0, 3.0]


async def test_an_expiring_key_goes_by_itself(store: RedisApiKeyStore, redis: Redis) -> None:
    await store.put(key(expires_at=time.time() + 100))
    assert 90 < await redis.ttl(keys.api_key_key("0123456789")) <= 100


async def test_a_record_under_another_id_or_another_ring_is_no_key(store: RedisApiKeyStore, redis: Redis) -> None:
    await store.put(key())
    await redis.copy(keys.api_key_key("0123456789"), keys.api_key_key("aaaaaaaaaa"))
    with pytest.raises(StoreUnavailableError):
        await store.get("aaaaaaaaaa")
    with pytest.raises(StoreUnavailableError, match="this deployment's keys"):
        await RedisApiKeyStore(redis, (bytes(KEY_BYTES),)).get("0123456789")
    assert await RedisApiKeyStore(redis, (bytes(KEY_BYTES), KEY)).get("0123456789") == key()
