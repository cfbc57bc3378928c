"""Which sets end the workers that compute them.

A set that a dead worker held is done again alone, so its second death is its own: then it is quarantined. Where no time
was left to do it again (a worker that hangs lives longer than any request), it is suspect: sent again it is done alone.
"""

from __future__ import annotations

from enum import Enum

import structlog
from redis.asyncio import Redis

from service.store import keys
from service.store.connection import CONNECTION_FAILURES
from service.store.sealing import PayloadSealer
from service.types import SetRequest

_MAX_DEATHS = 2
_MEMORY_S = 3600
"""How long what was found holds for the same samples."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Standing(Enum):
    """Of a set of samples. The values lie in Redis."""

    CLEAR = b""
    SUSPECT = b"suspect"
    QUARANTINED = b"1"


class Quarantine:
    """Known to all workers of a pack. A server that cannot be reached clears sets rather than refusing them."""

    def __init__(self, redis: Redis, sealer: PayloadSealer, fingerprint: str) -> None:
        self._redis = redis
        self._sealer = sealer
        self._fingerprint = fingerprint

    async def standing(self, request: SetRequest, deaths: int) -> Standing:
        """Before the set is computed. `deaths`: of workers that held this very job."""
        if deaths >= _MAX_DEATHS:
            await self.blame(request, deaths)
            return Standing.QUARANTINED
        try:
            return Standing(await self._redis.get(self._name(request)) or b"")
        except CONNECTION_FAILURES as error:
            _log.warning("quarantine_unreachable", error=type(error).__name__)
            return Standing.CLEAR

    async def blame(self, request: SetRequest, deaths: int) -> None:
        """So many workers died with the job, and it is not tried again."""
        try:
            if deaths >= _MAX_DEATHS:
                await self._redis.set(self._name(request), Standing.QUARANTINED.value, ex=_MEMORY_S)
            else:
                await self._redis.set(self._name(request), Standing.SUSPECT.value, ex=_MEMORY_S, nx=True)
        except CONNECTION_FAILURES as error:
            _log.warning("quarantine_unreachable", error=type(error).__name__)

    async def clear(self, request: SetRequest) -> None:
        """The set was computed."""
        try:
            await self._redis.delete(self._name(request))
        except CONNECTION_FAILURES as error:
            _log.warning("quarantine_unreachable", error=type(error).__name__)

    def _name(self, request: SetRequest) -> str:
        samples = "\n".join(sorted(sample.digest for sample in request.samples))
        return keys.quarantine_key(self._fingerprint, self._sealer.blind(samples))
