from __future__ import annotations

from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import SetupError
from service.store.connection import connect_redis, with_timeout
from tests.servers import RunningServer


async def test_it_speaks_to_the_server(redis_server: str) -> None:
    redis = connect_redis(redis_server)
    assert await redis.ping()
    await redis.aclose()


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(SetupError) as refusal:
        connect_redis("http://:secret@host")
    assert "secret" not in refusal.value.detail


async def test_a_restarted_server_is_found_again_within_one_command(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    redis = connect_redis(server.url)
    await redis.ping()
    server.kill()
    with pytest.raises(RedisConnectionError):
        await redis.ping()
    server.start()
    assert await redis.ping()
    server.kill()
    server.start()
    assert await redis.ping()
    await redis.aclose()


async def test_a_hung_server_times_out_and_the_connection_is_not_reused(
    make_server: Callable[..., RunningServer],
) -> None:
    server = make_server()
    redis = connect_redis(server.url, timeout_s=0.1)
    await redis.set("key", "right")
    server.pause()
    with pytest.raises(RedisTimeoutError):
        await redis.get("another")
    server.resume()
    # A late answer to the command that timed out must not be taken for this one's.
    assert await redis.get("key") == b"right"
    await redis.aclose()


async def test_a_patient_twin_waits_longer_on_connections_of_its_own(redis_server: str) -> None:
    redis = connect_redis(redis_server, timeout_s=0.1)
    patient = with_timeout(redis, 5.0, max_connections=1)
    assert await patient.xread({"nothing": "$"}, block=300) == []
    with pytest.raises(RedisTimeoutError):
        await redis.xread({"nothing": "$"}, block=300)
    await patient.aclose()
    assert await redis.ping()
    await redis.aclose()
