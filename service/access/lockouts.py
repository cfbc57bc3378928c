"""Failed verifications against a stored template: a few in a row make the next one wait, many lock the template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Attempt:
    """One comparison. Left as it is, it was none: an error decides nothing."""

    is_match: bool | None = None


class Lockouts(Protocol):
    def attempt(self, template_ids: Sequence[str]) -> AbstractAsyncContextManager[Attempt]:
        """One comparison with these. Raises `VerificationDelayedError`, `TemplateLockedError`, `StoreUnavailableError`
        before it begins."""
        ...

    async def unlock(self, template_id: str) -> bool:
        """Forget what failed; whether there was anything. Raises `StoreUnavailableError`."""
        ...


class NoLockouts:
    """Of a process that keeps nothing."""

    @asynccontextmanager
    async def attempt(self, template_ids: Sequence[str]) -> AsyncIterator[Attempt]:
        yield Attempt()

    async def unlock(self, template_id: str) -> bool:
        return False
