from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.store.connection import CONNECTION_FAILURES, connect_redis
from tests.servers import RunningServer

TIMEOUT_S = 0.3


@pytest.fixture
async def server(make_server: Callable[..., RunningServer]) -> AsyncIterator[RunningServer]:
    yield make_server()


async def count_connections(url: str) -> int:
    """Without the one that asks."""
    redis = connect_redis(url)
    clients = await redis.client_list()
    await redis.aclose()
    return len(clients) - 1


async def test_each_command_gets_its_own_answer(redis_server: str) -> None:
    redis = connect_redis(redis_server)
    await asyncio.gather(*(redis.set(f"key-{number}", number) for number in range(200)))
    found = await asyncio.gather(*(redis.get(f"key-{number}") for number in range(200)))
    assert found == [str(number).encode() for number in range(200)]
    await redis.aclose()


async def test_what_is_sent_at_one_time_shares_a_connection(server: RunningServer) -> None:
    redis = connect_redis(server.url, timeout_s=2.0)
    await asyncio.gather(*(redis.ping() for _ in range(50)))
    assert await count_connections(server.url) <= 2  # two where the server took its time
    await redis.aclose()
    assert await count_connections(server.url) == 0


async def test_the_error_of_one_command_is_its_own(redis_server: str) -> None:
    redis = connect_redis(redis_server)
    await redis.set("text", "no number")
    wrong, right = await asyncio.gather(redis.incr("text"), redis.get("text"), return_exceptions=True)
    assert isinstance(wrong, ResponseError)
    assert right == b"no number"
    await redis.aclose()


async def test_who_gives_up_takes_nothing_from_the_others(redis_server: str) -> None:
    redis = connect_redis(redis_server)
    await redis.set("key", "value")
    given_up = asyncio.ensure_future(redis.get("another"))
    kept = asyncio.ensure_future(redis.get("key"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await kept == b"value"
    assert await redis.get("key") == b"value"
    await redis.aclose()


async def test_nobody_waits_for_those_before_a_server_that_hangs(server: RunningServer) -> None:
    redis = connect_redis(server.url, timeout_s=TIMEOUT_S)
    await redis.ping()
    server.pause()

    async def ask(after_s: float) -> float:
        await asyncio.sleep(after_s)
        asked = time.monotonic()
        with pytest.raises(CONNECTION_FAILURES):
            await redis.ping()
        return time.monotonic() - asked

    waited = await asyncio.gather(*(ask(number * TIMEOUT_S / 10) for number in range(10)))
    server.resume()
    assert max(waited) < 1.8 * TIMEOUT_S  # one after the other they would wait for twice the time
    assert await redis.ping()
    await redis.aclose()


async def test_what_waits_when_the_client_is_closed_is_told(server: RunningServer) -> None:
    redis = connect_redis(server.url, timeout_s=5.0)
    await redis.ping()
    server.pause()
    waiting = asyncio.ensure_future(redis.ping())
    await asyncio.sleep(0.05)
    await redis.aclose()
    server.resume()
    with pytest.raises(RedisConnectionError):
        await waiting
