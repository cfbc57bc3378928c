"""What a caller may use up: images a day, and exact scores of one template a day."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from service.access.callers import Caller
from service.errors import QuotaExceededError, ScoreBudgetSpentError


class Budget(StrEnum):
    IMAGES = "images"
    RAW_SCORES = "raw-scores"


class Budgets(Protocol):
    async def take(self, budget: Budget, key_id: str, amount: int, limit: int, subjects: Sequence[str] = ("",)) -> int:
        """Use `amount` of a key's `limit` a day for each distinct subject (ids of templates; empty: the key itself).

        Answers 0, or the seconds until enough will be there again: then nothing was taken of any. Raises
        `StoreUnavailableError`.
        """
        ...


class NoBudgets:
    """Of a process that keeps nothing."""

    async def take(self, budget: Budget, key_id: str, amount: int, limit: int, subjects: Sequence[str] = ("",)) -> int:
        return 0


class Allowances:
    """Of one tenant's keys. Who needs no key has no limits."""

    def __init__(self, budgets: Budgets, *, raw_scores_per_day: int) -> None:
        self._budgets = budgets
        self._raw_scores_per_day = raw_scores_per_day

    async def spend_images(self, caller: Caller, count: int) -> None:
        """Before the images are looked at: what is refused later was sent all the same. Raises `QuotaExceededError`,
        `StoreUnavailableError`."""
        if caller.key_id is None or caller.images_per_day is None or count == 0:
            return
        wait_s = await self._budgets.take(Budget.IMAGES, caller.key_id, count, caller.images_per_day)
        if wait_s:
            raise QuotaExceededError(
                f"This API key may send {caller.images_per_day} images a day; {count} more are too many for today.",
                retry_after_s=wait_s,
            )

    async def spend_raw_scores(self, caller: Caller, template_ids: Sequence[str]) -> None:
        """One of each template. Raises `ScoreBudgetSpentError`, `StoreUnavailableError`."""
        if caller.key_id is None or not template_ids:
            return
        wait_s = await self._budgets.take(Budget.RAW_SCORES, caller.key_id, 1, self._raw_scores_per_day, template_ids)
        if wait_s:
            raise ScoreBudgetSpentError(
                f"An API key may have {self._raw_scores_per_day} exact scores of one template a day; banded go on.",
                retry_after_s=wait_s,
            )
