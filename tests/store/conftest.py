from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.store.connection import connect_redis

PATIENT_S = 20.0
"""For servers that answer on a machine that is busy."""


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    """Valkey and Redis, each empty."""
    client = connect_redis(redis_server, timeout_s=PATIENT_S)
    yield client
    await client.aclose()
