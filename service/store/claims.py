"""Who of all processes does a piece of work: a value with a short life, under a name that stands for the work.

Whoever writes the value first has the work; it is renewed while the work goes on, and goes when the outcome is kept or
the work failed. That of a process that died runs out by itself, and the next one who asks takes over. A claim saves
work and decides nothing else: who loses one (a process that stood still, a server that lost its data) does the work all
the same, and the outcome that was kept first stays.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from service.errors import DeadlineExceededError
from service.store import scripts
from service.store.connection import CONNECTION_FAILURES

CLAIM_LIFE_S = 3.0
"""How long the work of a dead process waits for the next one, at most."""
_RENEWALS_PER_LIFE = 3
_MIN_PAUSE_S = 0.005
_MAX_PAUSE_S = 0.2
_PAUSE_GROWTH = 1.5

Outcome = TypeVar("Outcome")
_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Claim(Enum):
    """Of work whose outcome is not kept yet."""

    OURS = "ours"
    OTHERS = "others"


class Claims:
    """Takes, renews and drops claims."""

    def __init__(self, redis: Redis, *, life_s: float = CLAIM_LIFE_S) -> None:
        self.life_ms = int(life_s * 1000)
        """For those who write the value."""
        self._renewal_s = life_s / _RENEWALS_PER_LIFE
        self._renew = redis.register_script(scripts.RENEW)
        self._drop = redis.register_script(scripts.DROP)

    @asynccontextmanager
    async def outcome_or_turn(
        self, name: str, value: str, look: Callable[[], Awaitable[Outcome | Claim]], wait_s: float
    ) -> AsyncIterator[Outcome | None]:
        """The outcome that is kept, or None: then the work is the caller's, to be done within this context, and nobody
        else begins it.

        `look` answers the outcome, or whose claim it found after trying to write `value` under `name`; it is asked
        again, in pauses, while somebody else works. Keeping the outcome must remove the claim or replace its value.
        Raises `DeadlineExceededError` after `wait_s` seconds of somebody else's work, and what `look` raises.
        """
        try:
            found = await _look_patiently(look, wait_s)
        except asyncio.CancelledError:
            await self._drop_quietly(name, value)  # the server may have it, and only its answer was lost
            raise
        if not isinstance(found, Claim):
            yield found
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        renewing = asyncio.create_task(self._renew_until(done, name, value))
        try:
            yield None
        except BaseException:
            await self._drop_quietly(name, value)
            raise
        finally:
            done.set_result(None)
            await renewing

    async def _renew_until(self, done: asyncio.Future[None], name: str, value: str) -> None:
        while not done.done():
            # Told by a future, not by a cancellation: that would break the connection that a renewal is sent over.
            await asyncio.wait((done,), timeout=self._renewal_s)
            if not done.done():
                try:
                    await self._renew(keys=[name], args=[value, self.life_ms])
                except CONNECTION_FAILURES as error:
                    _log.info("claim_not_renewed", error=type(error).__name__)

    async def _drop_quietly(self, name: str, value: str) -> None:
        try:
            await self._drop(keys=[name], args=[value])
        except CONNECTION_FAILURES:
            _log.info("claim_not_dropped")


def new_claim(mark: str = "") -> str:
    """A value that nobody else writes; begins with `mark`."""
    return mark + secrets.token_hex(16)


async def _look_patiently(look: Callable[[], Awaitable[Outcome | Claim]], wait_s: float) -> Outcome | Claim:
    """The first answer that is not `Claim.OTHERS`."""
    deadline = time.monotonic() + wait_s
    pause_s = _MIN_PAUSE_S
    while True:
        found = await look()
        if found is not Claim.OTHERS:
            return found
        if time.monotonic() + pause_s > deadline:
            raise DeadlineExceededError("An equal request is being worked on, and the time for this one ran out.")
        await asyncio.sleep(pause_s)
        pause_s = min(_PAUSE_GROWTH * pause_s, _MAX_PAUSE_S)
