"""Waits for what other tasks, threads and processes do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_PLENTY_S = 60.0
_STEP_S = 0.01


async def until(condition: Callable[[], Awaitable[object] | object]) -> None:
    """Return when `condition` (plain or async) answers something true; fails after a minute."""
    async with asyncio.timeout(_PLENTY_S):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(_STEP_S)
