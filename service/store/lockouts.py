"""Failed verifications against stored templates, counted in Redis over all API processes, by the server's clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from service.errors import TemplateLockedError, VerificationDelayedError
from service.settings import Lockout
from service.store import keys, scripts
from service.store.failures import reporting_failures

_LOCKED = -1


class RedisLockouts:
    """The `Lockouts` of one tenant's templates. Where nothing failed and nothing fails, nothing is written."""

    def __init__(self, redis: Redis, limits: Lockout, template_ttl_s: int, tenant: str) -> None:
        """`template_ttl_s`: no template lives longer, and so no lock."""
        self._redis = redis
        self._tenant = tenant
        self._is_on = bool(limits.delay_after or limits.lock_after)
        self._limits: list[int] = [limits.delay_after, math.ceil(limits.delay_s * 1000), limits.lock_after]
        self._lives_ms: list[int] = [math.ceil(limits.forget_s * 1000), template_ttl_s * 1000]
        self._may_verify = redis.register_script(scripts.MAY_VERIFY)
        self._settle = redis.register_script(scripts.SETTLE_VERIFICATION)

    async def check(self, template_ids: Sequence[str]) -> None:
        await self._run(self._may_verify, template_ids, self._limits)

    async def settle(self, template_ids: Sequence[str], *, is_match: bool) -> None:
        await self._run(self._settle, template_ids, [*self._limits, *self._lives_ms, int(is_match)])

    async def unlock(self, template_id: str) -> bool:
        with reporting_failures("unlock"):
            return bool(await self._redis.delete(keys.failures_key(self._tenant, template_id)))

    async def _run(self, script: AsyncScript, template_ids: Sequence[str], arguments: Sequence[int]) -> None:
        if not self._is_on or not template_ids:
            return
        names = [keys.failures_key(self._tenant, template_id) for template_id in sorted(set(template_ids))]
        with reporting_failures("check_lockout"):
            wait_ms = await script(keys=names, args=arguments)
        if wait_ms == _LOCKED:
            raise TemplateLockedError("Too many verifications against this template failed; an operator can unlock it.")
        if wait_ms > 0:
            raise VerificationDelayedError(
                "Several verifications against this template failed in a row; wait before the next one.",
                retry_after_s=math.ceil(wait_ms / 1000),
            )
