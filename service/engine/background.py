"""Tasks that end when they are told to.

Up to Python 3.11 `asyncio.wait_for`, which the Redis client uses, loses a cancellation that arrives in the moment
when its own wait is over: the task goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

_PATIENCE_S = 0.05


class BackgroundTasks:
    """Holds on to tasks until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel them all; return when they have ended."""
        await end_tasks(self._tasks)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks, again where one lost its cancellation (see `heed_cancellation`), until they have ended."""
    remaining = set(tasks)
    while remaining:
        for task in remaining:
            task.cancel()
        done, remaining = await asyncio.wait(remaining, timeout=_PATIENCE_S)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


def cancellations() -> int:
    """How often the running task has been told to end so far."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def heed_cancellation(since: int) -> None:
    """Raise `CancelledError` when the running task has been told to end since `cancellations()` answered `since`."""
    if cancellations() > since:
        raise asyncio.CancelledError
