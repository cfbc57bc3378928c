"""What an API key may use up in a day: counted in Redis, by the server's clock, over all API processes."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from service.access.allowances import Budget
from service.store import keys, scripts
from service.store.failures import reporting_failures

DAY_S = 86400


class RedisBudgets:
    """The `Budgets` of one tenant. A day begins with the first use."""

    def __init__(self, redis: Redis, tenant: str) -> None:
        self._tenant = tenant
        self._take = redis.register_script(scripts.TAKE)

    async def take(self, budget: Budget, key_id: str, amount: int, limit: int, subjects: Sequence[str] = ("",)) -> int:
        names = [keys.budget_key(self._tenant, budget.value, key_id, subject) for subject in sorted(set(subjects))]
        with reporting_failures("take_budget"):
            wait_ms = await self._take(keys=names, args=[amount, limit, DAY_S * 1000])
        return -(-int(wait_ms) // 1000)
