"""What the store does for the request that is being answered: how long each call took, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from service.observability import tracing

STORE_FAILURES = ("unreachable", "slow", "full", "read_only", "refused")
"""Why a call failed; the last one is any other error of the server."""


class StoreObserver(Protocol):
    """Hears of the calls of one application's requests."""

    def store_called(self, operation: str, seconds: float, failure: str | None) -> None:
        """`failure`: one of `STORE_FAILURES`; None where it did what it was to do."""
        ...

    def embeddings_looked_up(self, *, found: int, missing: int) -> None: ...


@dataclass(slots=True)
class StoreCall:
    """One that is under way."""

    failure: str | None = None


_observer: ContextVar[StoreObserver | None] = ContextVar("store_observer", default=None)


@contextmanager
def observing_store_calls(observer: StoreObserver) -> Iterator[None]:
    """Tell `observer` of every call that the body makes, and whatever it awaits or starts."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def observed_store_call(operation: str) -> Iterator[StoreCall]:
    """A call of this name; the body notes in it why it failed."""
    call = StoreCall()
    began = time.perf_counter()
    with tracing.span(f"store {operation}", tracing.Kind.CLIENT) as span:
        try:
            yield call
        finally:
            if call.failure is not None:
                span.fail(call.failure)
            observer = _observer.get()
            if observer is not None:
                observer.store_called(operation, time.perf_counter() - began, call.failure)


def note_embeddings_looked_up(*, found: int, missing: int) -> None:
    """How many embeddings of samples the cache had."""
    observer = _observer.get()
    if observer is not None:
        observer.embeddings_looked_up(found=found, missing=missing)
