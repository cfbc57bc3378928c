from __future__ import annotations

import asyncio

from service.pipeline.pixel_budget import PixelBudget


class Holder:
    def __init__(self, budget: PixelBudget, pixels: int) -> None:
        self.holds = False
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._hold(budget, pixels))

    async def _hold(self, budget: PixelBudget, pixels: int) -> None:
        async with budget.hold(pixels):
            self.holds = True
            await self.release.wait()

    async def end(self) -> None:
        self.release.set()
        await self.task
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_budget_is_held_and_nobody_is_passed() -> None:
    budget = PixelBudget(10)
    first, large, small = (Holder(budget, pixels) for pixels in (6, 5, 1))
    await settle()
    assert (first.holds, large.holds, small.holds) == (True, False, False)
    await first.end()
    assert (large.holds, small.holds) == (True, True)
    await large.end()
    await small.end()


async def test_what_is_larger_than_the_budget_gets_it_alone() -> None:
    budget = PixelBudget(10)
    small, huge, after = (Holder(budget, pixels) for pixels in (1, 1000, 1))
    await settle()
    assert (small.holds, huge.holds) == (True, False)
    await small.end()
    assert (huge.holds, after.holds) == (True, False)
    await huge.end()
    assert after.holds
    await after.end()


async def test_who_goes_away_frees_what_it_held_or_waited_for() -> None:
    budget = PixelBudget(10)
    holding, waiting, behind = (Holder(budget, pixels) for pixels in (10, 10, 10))
    await settle()
    for gone in (waiting, holding):
        gone.task.cancel()
        await asyncio.gather(gone.task, return_exceptions=True)
    await settle()
    assert behind.holds
    await behind.end()
    last = Holder(budget, 10)
    await settle()
    assert last.holds
    await last.end()
