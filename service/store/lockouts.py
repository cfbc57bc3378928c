"""Failed verifications against a stored template: a few in a row make the next one wait, many lock the template.

An attempt counts as failed from its beginning until it is known to be none, so that guesses that are sent together
count like guesses that are sent one after the other.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from service.access.lockouts import Attempt
from service.errors import TemplateLockedError, VerificationDelayedError
from service.settings import Lockout
from service.store import keys, scripts
from service.store.failures import reporting_failures

_LOCKED = -1


class RedisLockouts:
    """The `Lockouts` of one tenant's templates."""

    def __init__(self, redis: Redis, limits: Lockout, template_ttl_s: int, tenant: str) -> None:
        """`template_ttl_s`: no template lives longer, and so no lock."""
        self._limits = limits
        self._lock_life_ms = template_ttl_s * 1000
        self._forget_ms = math.ceil(limits.forget_s * 1000)
        self._tenant = tenant
        self._begin = redis.register_script(scripts.BEGIN_ATTEMPT)
        self._end = redis.register_script(scripts.END_ATTEMPT)
        self._redis = redis

    @asynccontextmanager
    async def attempt(self, template_ids: Sequence[str]) -> AsyncIterator[Attempt]:
        attempt = Attempt()
        ids = sorted(set(template_ids))
        if not ids or not (self._limits.delay_after or self._limits.lock_after):
            yield attempt
            return
        names = [keys.attempts_key(self._tenant, template_id) for template_id in ids]
        await self._start(names)
        try:
            yield attempt
        finally:
            if attempt.is_match is not False:
                with reporting_failures():
                    await self._end(keys=names, args=[int(attempt.is_match is True), self._forget_ms])

    async def unlock(self, template_id: str) -> bool:
        with reporting_failures():
            return bool(await self._redis.delete(keys.attempts_key(self._tenant, template_id)))

    async def _start(self, names: Sequence[str]) -> None:
        limits = self._limits
        with reporting_failures():
            wait_ms = await self._begin(
                keys=names,
                args=[
                    limits.delay_after,
                    math.ceil(limits.delay_s * 1000),
                    limits.lock_after,
                    self._forget_ms,
                    self._lock_life_ms,
                ],
            )
        if wait_ms == _LOCKED:
            raise TemplateLockedError("Too many verifications against this template failed; an operator can unlock it.")
        if wait_ms > 0:
            raise VerificationDelayedError(
                "Several verifications against this template failed in a row; wait before the next one.",
                retry_after_s=math.ceil(wait_ms / 1000),
            )
