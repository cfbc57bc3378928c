"""How processes talk to Redis or Valkey: short timeouts, one retry on a broken connection, bounded connections."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from service.errors import SetupError
from service.store.batching import BatchingRedis

CONNECTION_FAILURES = (RedisError, OSError)
"""Whatever a command may raise when the server is gone, slow, full or read-only."""

_TIMEOUT_S = 0.25
_MAX_CONNECTIONS = 64
_HEALTH_CHECK_INTERVAL_S = 10
_LARGE_READ_BYTES = 128 * 1024


def connect_redis(url: str, *, timeout_s: float = _TIMEOUT_S) -> Redis:
    """A client of the server at `redis://`, `rediss://` or `unix://`; connects on first use, and again when broken.

    A command takes at most `timeout_s` seconds to connect and as many to answer. A connection that turns out to be
    broken (the server was restarted) is replaced once, at once; a timeout is not tried again. Raises `SetupError`
    when the URL cannot be understood.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=4 * timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            health_check_interval=_HEALTH_CHECK_INTERVAL_S,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            protocol=2,
        )
    except ValueError as error:
        # The URL may hold a password: it is not repeated.
        raise SetupError("COREFACE_REDIS_URL is no redis://, rediss:// or unix:// URL.") from error
    return BatchingRedis(pool)


def with_timeout(redis: Redis, timeout_s: float, *, max_connections: int) -> Redis:
    """Another client of the same server, with connections of its own and another time to answer.

    For commands that block on the server, or carry megabytes.
    """
    pool = redis.connection_pool
    kwargs = {**pool.connection_kwargs, "socket_timeout": timeout_s, "socket_read_size": _LARGE_READ_BYTES}
    return Redis.from_pool(
        BlockingConnectionPool(
            connection_class=pool.connection_class, max_connections=max_connections, timeout=timeout_s, **kwargs
        )
    )
