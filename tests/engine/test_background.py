from __future__ import annotations

import asyncio
import contextlib

import pytest

from service.engine.background import BackgroundTasks, cancellations, end_tasks, heed_cancellation


async def test_tasks_end_when_told() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    background = BackgroundTasks()
    for number in range(3):
        background.spawn(work(number))
    await asyncio.sleep(0)
    await background.end()
    assert sorted(ended) == [0, 1, 2]
    await background.end()


async def test_a_task_that_loses_its_first_cancellation_ends_all_the_same() -> None:
    losses = 0

    async def work() -> None:
        nonlocal losses
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                losses += 1
                if losses == 3:
                    raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end_tasks([task])
    assert task.done()
    assert losses == 3


async def test_what_a_task_failed_with_is_not_lost() -> None:
    async def work() -> None:
        raise ValueError("a mistake")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="a mistake"):
        await end_tasks([task])


async def test_a_lost_cancellation_is_heeded_later() -> None:
    reached: list[str] = []

    async def work() -> None:
        before = cancellations()
        with contextlib.suppress(asyncio.CancelledError):  # as the client library does
            await asyncio.Event().wait()
        reached.append("after the loss")
        heed_cancellation(before)
        reached.append("never")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["after the loss"]


async def test_a_lost_timeout_is_heeded_as_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            before = cancellations()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            heed_cancellation(before)
