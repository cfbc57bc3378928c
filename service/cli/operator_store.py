"""The store as an operator's command reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings


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
