"""Concurrent equal requests share one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class _Flight(Generic[Outcome]):
    task: asyncio.Task[Outcome]
    waiters: int = 0


class SingleFlight(Generic[Outcome]):
    """One running computation per key. It is cancelled when the last caller that waits for it has gone."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Outcome]] = {}

    async def run(self, key: Hashable, compute: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """The outcome of `compute`, or of the equal computation that already runs. Errors are shared too."""
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.ensure_future(self._computation(key, compute)))
            self._flights[key] = flight
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()

    async def _computation(self, key: Hashable, compute: Callable[[], Awaitable[Outcome]]) -> Outcome:
        flight = self._flights[key]
        try:
            return await compute()
        finally:
            self._forget(key, flight)

    def _forget(self, key: Hashable, flight: _Flight[Outcome]) -> None:
        # A cancelled flight may end after the next one for its key has begun.
        if self._flights.get(key) is flight:
            del self._flights[key]
