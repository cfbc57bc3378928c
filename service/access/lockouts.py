"""Failed verifications against a stored template: a few in a row make the next one wait, many lock the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Lockouts(Protocol):
    """Each method raises `StoreUnavailableError`."""

    async def check(self, template_ids: Sequence[str]) -> None:
        """Before a comparison with these. Raises `VerificationDelayedError`, `TemplateLockedError`."""
        ...

    async def settle(self, template_ids: Sequence[str], *, is_match: bool) -> None:
        """After it, before it is answered. Raises as `check`, where others failed meanwhile: of guesses that are sent
        together no more are answered than of guesses that are sent one after the other."""
        ...

    async def unlock(self, template_id: str) -> bool:
        """Forget what failed; whether there was anything."""
        ...


class NoLockouts:
    """Of a process that keeps nothing."""

    async def check(self, template_ids: Sequence[str]) -> None:
        """There is nothing to guess at."""

    async def settle(self, template_ids: Sequence[str], *, is_match: bool) -> None:
        """Nothing is counted."""

    async def unlock(self, template_id: str) -> bool:
        return False
