from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import structlog

from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    InferenceFailedError,
    InvalidRequestError,
    NotReadyError,
    OutOfMemoryError,
)
from service.pipeline.stages import BatchDone, Stage, StageRunner

PLENTY_S = 60.0


class Doubler:
    """Doubles numbers; holds each batch until its gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()

    def __call__(self, items: Sequence[int]) -> list[int | CorefaceError]:
        self.batches.append(list(items))
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(PLENTY_S)
        if 1313 in items:
            raise ValueError("not this one")
        if len(items) > 2 and 99 in items:
            raise OutOfMemoryError("too many")
        return [InvalidRequestError("negative") if item < 0 else 2 * item for item in items]

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=PLENTY_S)


class Rig:
    """One runner with one stage around a doubler."""

    def __init__(self, max_cost: int = 8, threads: int = 1) -> None:
        self.doubler = Doubler()
        self.done: list[BatchDone] = []
        self.runner = StageRunner("test", threads=threads, observe=self.done.append)
        self.stage: Stage[int, int] = self.runner.add_stage("double", self.doubler, max_cost=max_cost)

    async def submit(self, item: int, within_s: float = PLENTY_S, cost: int = 1) -> int:
        return await self.stage.submit(item, deadline=time.monotonic() + within_s, cost=cost)

    async def hold(self, item: int = 1) -> asyncio.Task[int]:
        """Occupy a thread with `item` until the gate opens."""
        self.doubler.gate.clear()
        task = asyncio.create_task(self.submit(item))
        await self.doubler.wait_entered()
        return task

    async def until_waiting(self, count: int) -> None:
        while len(self.stage.jobs) != count:  # noqa: ASYNC110 (the queue is filled by other tasks of this loop)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(max_cost: int = 8, threads: int = 1) -> AsyncIterator[Rig]:
    rig = Rig(max_cost, threads)
    rig.runner.start()
    yield rig
    rig.doubler.gate.set()
    await asyncio.to_thread(rig.runner.stop)


async def test_what_waits_is_batched_and_every_caller_gets_its_own_outcome() -> None:
    async with running() as rig:
        held = await rig.hold()
        tasks = [asyncio.create_task(rig.submit(item)) for item in range(20)]
        await rig.until_waiting(20)
        rig.doubler.gate.set()
        assert await asyncio.gather(*tasks) == [2 * item for item in range(20)]
        assert await held == 2
    assert [len(batch) for batch in rig.doubler.batches] == [1, 8, 8, 4]
    assert len(rig.doubler.threads) == 1
    assert threading.get_ident() not in rig.doubler.threads


async def test_a_batch_ends_where_the_next_item_would_cost_too_much_and_a_dear_item_is_alone() -> None:
    async with running(max_cost=8) as rig:
        held = await rig.hold()
        tasks = [asyncio.create_task(rig.submit(cost, cost=cost)) for cost in (3, 5, 1, 20, 2)]
        await rig.until_waiting(5)
        rig.doubler.gate.set()
        await asyncio.gather(held, *tasks)
    assert rig.doubler.batches == [[1], [3, 5], [1], [20], [2]]


async def test_the_last_stage_goes_first() -> None:
    order: list[str] = []
    runner = StageRunner("test")
    stages: list[Stage[int, int]] = [
        runner.add_stage(name, lambda items, name=name: order.append(name) or list(items), max_cost=1)  # type: ignore[misc,func-returns-value]
        for name in ("first", "second")
    ]
    deadline = time.monotonic() + PLENTY_S
    runner.start()
    with runner._changed:
        # Both wait before the thread may look.
        tasks = [asyncio.create_task(stage.submit(1, deadline=deadline)) for stage in (stages[0], *stages)]
        while sum(len(stage.jobs) for stage in stages) < 3:  # noqa: ASYNC110 (they are tasks of this loop)
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    await asyncio.to_thread(runner.stop)
    assert order == ["second", "first", "first"]


async def test_several_threads_work_side_by_side() -> None:
    async with running(max_cost=1, threads=2) as rig:
        first, second = await rig.hold(1), await rig.hold(2)
        rig.doubler.gate.set()
        assert await asyncio.gather(first, second) == [2, 4]
    assert len(rig.doubler.threads) == 2


async def test_an_error_for_one_item_is_only_its_own() -> None:
    async with running() as rig:
        answers = await asyncio.gather(*(rig.submit(n) for n in (1, -1, 2)), return_exceptions=True)
    assert answers[0] == 2
    assert isinstance(answers[1], InvalidRequestError)
    assert answers[2] == 4


async def test_a_failing_batch_is_halved_until_only_what_fails_alone_has_failed() -> None:
    with structlog.testing.capture_logs() as logs:
        await _halve_a_failing_batch()
    assert [(line["event"], line["stage"]) for line in logs] == [("stage_failed", "double")]


async def _halve_a_failing_batch() -> None:
    async with running() as rig:
        held = await rig.hold()
        tasks = [asyncio.create_task(rig.submit(item)) for item in (2, 3, 1313, 4)]
        await rig.until_waiting(4)
        rig.doubler.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await held
        assert answers[:2] == [4, 6]
        assert answers[3] == 8
        assert isinstance(answers[2], InferenceFailedError)
        assert isinstance(answers[2].__cause__, ValueError)
        assert rig.doubler.batches == [[1], [2, 3, 1313, 4], [2, 3], [1313, 4], [1313], [4]]
        assert await rig.submit(4) == 8


async def test_memory_that_runs_out_for_many_does_for_fewer() -> None:
    async with running() as rig:
        held = await rig.hold()
        tasks = [asyncio.create_task(rig.submit(item)) for item in (99, 2, 3, 4)]
        await rig.until_waiting(4)
        rig.doubler.gate.set()
        assert await asyncio.gather(held, *tasks) == [2, 198, 4, 6, 8]


async def test_a_short_answer_fails_rather_than_shift_results() -> None:
    runner = StageRunner("test")
    stage: Stage[int, int] = runner.add_stage("short", lambda items: list(items)[1:], max_cost=8)
    runner.start()
    with pytest.raises(InferenceFailedError):
        await stage.submit(1, deadline=time.monotonic() + PLENTY_S)
    await asyncio.to_thread(runner.stop)


async def test_work_past_its_deadline_is_never_computed() -> None:
    async with running() as rig:
        held = await rig.hold()
        with pytest.raises(DeadlineExceededError):
            await rig.submit(7, 0.02)
        with pytest.raises(DeadlineExceededError):
            await rig.submit(8, 0.0)
        assert not rig.stage.jobs
        rig.doubler.gate.set()
        assert await held == 2
        assert await rig.submit(9) == 18
    assert rig.doubler.batches == [[1], [9]]


async def test_a_cancelled_caller_frees_its_place_and_costs_no_compute() -> None:
    async with running() as rig:
        held = await rig.hold()
        for _ in range(100):
            gone = asyncio.create_task(rig.submit(5))
            await rig.until_waiting(1)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert not rig.stage.jobs
        rig.doubler.gate.set()
        await held
    assert rig.doubler.batches == [[1]]


async def test_stop_finishes_what_runs_and_refuses_the_rest() -> None:
    async with running() as rig:
        running_task = await rig.hold()
        waiting = asyncio.create_task(rig.submit(2))
        await rig.until_waiting(1)
        stopping = asyncio.create_task(asyncio.to_thread(rig.runner.stop))
        with pytest.raises(NotReadyError):
            await waiting
        with pytest.raises(NotReadyError):
            await rig.submit(3)
        rig.doubler.gate.set()
        assert await running_task == 2
        await stopping


async def test_submit_before_start_is_refused() -> None:
    with pytest.raises(NotReadyError):
        await Rig().submit(1)


async def test_a_thread_that_ends_leaves_nobody_waiting() -> None:
    def end(_items: Sequence[int]) -> list[int | CorefaceError]:
        raise SystemExit

    runner = StageRunner("test")
    stage: Stage[int, int] = runner.add_stage("end", end, max_cost=1)
    runner.start()
    deadline = time.monotonic() + PLENTY_S
    answers = await asyncio.gather(*(stage.submit(n, deadline=deadline) for n in range(3)), return_exceptions=True)
    assert isinstance(answers[0], InferenceFailedError)
    assert all(isinstance(answer, NotReadyError) for answer in answers[1:])


async def test_batches_are_reported_with_their_cost_and_waits() -> None:
    async with running() as rig:
        held = await rig.hold()
        waiting = [asyncio.create_task(rig.submit(item, cost=item)) for item in (2, 3)]
        await rig.until_waiting(2)
        assert rig.runner.busy_s > 0
        await asyncio.sleep(0.05)
        rig.doubler.gate.set()
        await asyncio.gather(held, *waiting)
    assert rig.runner.busy_s == 0
    first, second = rig.done
    assert (first.stage, first.cost, len(first.waited_s)) == ("double", 1, 1)
    assert (second.cost, len(second.waited_s)) == (5, 2)
    assert min(second.waited_s) >= 0.04
    assert first.service_s >= 0.04
