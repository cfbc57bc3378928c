from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.store.connection import connect_redis
from service.store.template_store import RedisTemplateStore
from tests.store.samples import PATIENT_S, make_store


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    """Valkey and Redis, each empty."""
    client = connect_redis(redis_server, timeout_s=PATIENT_S)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis) -> RedisTemplateStore:
    return make_store(redis)
