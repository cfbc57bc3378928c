"""The store as an operator's command reaches it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from service.settings import Settings

_TIMEOUT_S = 10.0
"""Nobody waits behind a command: a slow server is better than none."""


@contextmanager
def store_url(settings: Settings, *, beside_service: bool = False) -> Iterator[str]:
    """The settings' store, or the embedded one, started for this command; with `beside_service`, that of a service
    which runs on this machine. Raises `EmbeddedStoreError`."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    from service.store.embedded import EmbeddedValkey

    store = EmbeddedValkey(settings.state_path)
    if beside_service and store.is_served:
        yield store.url
        return
    try:
        yield store.start()
    finally:
        store.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """A connection for the time of a command."""
    from service.store.connection import connect_redis

    redis = connect_redis(url, timeout_s=_TIMEOUT_S)
    try:
        yield redis
    finally:
        await redis.aclose()
