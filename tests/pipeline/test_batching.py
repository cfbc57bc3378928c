from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    InferenceFailedError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
)
from service.pipeline.batching import MicroBatcher

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
        return [InvalidRequestError("negative") if item < 0 else 2 * item for item in items]

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=PLENTY_S)


async def _hold(batcher: MicroBatcher[int, int], doubler: Doubler, item: int = 1) -> asyncio.Task[int]:
    """Occupy the compute thread with `item` until the gate opens."""
    doubler.gate.clear()
    task = asyncio.create_task(batcher.submit(item, PLENTY_S))
    await doubler.wait_entered()
    return task


async def _waiting(batcher: MicroBatcher[int, int], count: int) -> None:
    while batcher.waiting != count:  # noqa: ASYNC110 (the queue is filled by other tasks of this loop)
        await asyncio.sleep(0.001)


async def test_what_waits_is_batched_and_every_caller_gets_its_own_outcome() -> None:
    doubler = Doubler()
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=100)
    await batcher.start()
    held = await _hold(batcher, doubler)
    tasks = [asyncio.create_task(batcher.submit(item, PLENTY_S)) for item in range(20)]
    await _waiting(batcher, 20)
    doubler.gate.set()
    assert await asyncio.gather(*tasks) == [2 * item for item in range(20)]
    assert await held == 2
    assert [len(batch) for batch in doubler.batches] == [1, 8, 8, 4]
    assert len(doubler.threads) == 1
    assert threading.get_ident() not in doubler.threads
    await batcher.stop()


async def test_an_error_for_one_item_is_only_its_own() -> None:
    batcher = MicroBatcher(Doubler(), max_batch=8, max_waiting=8)
    await batcher.start()
    answers = await asyncio.gather(*(batcher.submit(n, PLENTY_S) for n in (1, -1, 2)), return_exceptions=True)
    assert answers[0] == 2
    assert isinstance(answers[1], InvalidRequestError)
    assert answers[2] == 4
    await batcher.stop()


async def test_a_failing_batch_fails_alone_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    batcher = MicroBatcher(Doubler(), max_batch=8, max_waiting=8)
    await batcher.start()
    with pytest.raises(InferenceFailedError) as failure:
        await batcher.submit(1313, PLENTY_S)
    assert isinstance(failure.value.__cause__, ValueError)
    assert "ValueError" in caplog.text
    assert await batcher.submit(4, PLENTY_S) == 8
    await batcher.stop()


async def test_a_short_answer_fails_the_batch_rather_than_shift_results() -> None:
    batcher: MicroBatcher[int, int] = MicroBatcher(lambda items: list(items)[1:], max_batch=8, max_waiting=8)
    await batcher.start()
    with pytest.raises(InferenceFailedError):
        await batcher.submit(1, PLENTY_S)
    await batcher.stop()


async def test_a_full_queue_refuses_at_once() -> None:
    doubler = Doubler()
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=2)
    await batcher.start()
    held = await _hold(batcher, doubler)
    waiting = [asyncio.create_task(batcher.submit(item, PLENTY_S)) for item in (2, 3)]
    await _waiting(batcher, 2)
    with pytest.raises(OverloadedError):
        await batcher.submit(4, PLENTY_S)
    doubler.gate.set()
    assert await asyncio.gather(held, *waiting) == [2, 4, 6]
    await batcher.stop()


async def test_work_past_its_deadline_is_never_computed() -> None:
    doubler = Doubler()
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8)
    await batcher.start()
    held = await _hold(batcher, doubler)
    with pytest.raises(DeadlineExceededError):
        await batcher.submit(7, 0.02)
    with pytest.raises(DeadlineExceededError):
        await batcher.submit(8, 0.0)
    assert batcher.waiting == 0
    doubler.gate.set()
    assert await held == 2
    assert await batcher.submit(9, PLENTY_S) == 18
    assert doubler.batches == [[1], [9]]
    await batcher.stop()


async def test_a_cancelled_caller_frees_its_place_and_costs_no_compute() -> None:
    doubler = Doubler()
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=1)
    await batcher.start()
    held = await _hold(batcher, doubler)
    for _ in range(100):
        gone = asyncio.create_task(batcher.submit(5, PLENTY_S))
        await _waiting(batcher, 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.waiting == 0
    doubler.gate.set()
    await held
    assert doubler.batches == [[1]]
    await batcher.stop()


async def test_stop_finishes_what_runs_and_refuses_the_rest() -> None:
    doubler = Doubler()
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8)
    await batcher.start()
    running = await _hold(batcher, doubler)
    waiting = asyncio.create_task(batcher.submit(2, PLENTY_S))
    await _waiting(batcher, 1)
    stopping = asyncio.create_task(batcher.stop())
    with pytest.raises(NotReadyError):
        await waiting
    with pytest.raises(NotReadyError):
        await batcher.submit(3, PLENTY_S)
    doubler.gate.set()
    assert await running == 2
    await stopping


async def test_preparation_runs_in_the_compute_thread_and_its_failure_reaches_the_caller() -> None:
    doubler = Doubler()
    prepared_in: list[int] = []
    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8)
    await batcher.start(lambda: prepared_in.append(threading.get_ident()))
    await batcher.submit(1, PLENTY_S)
    assert set(prepared_in) == doubler.threads
    await batcher.stop()

    def refuse() -> None:
        raise InvalidRequestError("broken")

    broken = MicroBatcher(doubler, max_batch=8, max_waiting=8)
    with pytest.raises(InvalidRequestError, match="broken"):
        await broken.start(refuse)
    with pytest.raises(NotReadyError):
        await broken.submit(1, PLENTY_S)
    await broken.stop()


async def test_submit_before_start_is_refused() -> None:
    with pytest.raises(NotReadyError):
        await MicroBatcher(Doubler(), max_batch=1, max_waiting=1).submit(1, PLENTY_S)


async def test_queue_seconds_are_reported() -> None:
    doubler = Doubler()
    seconds: dict[int, float] = {}

    def report(outcome: int, queue_seconds: float) -> int:
        seconds[outcome] = queue_seconds
        return outcome

    batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8, report_queue=report)
    await batcher.start()
    held = await _hold(batcher, doubler)
    waiting = asyncio.create_task(batcher.submit(2, PLENTY_S))
    await asyncio.sleep(0.05)
    doubler.gate.set()
    await asyncio.gather(held, waiting)
    assert seconds[2] >= 0
    assert seconds[4] >= 0.04
    await batcher.stop()
