"""Batches work of concurrent callers through one compute thread.

The thread takes whatever waits when it is free, up to `max_batch`, and adds no delay of its own: under light load a
batch is one item, under heavy load batches fill by themselves. What waits is bounded, and what nobody waits for any
longer (deadline passed, caller gone) is dropped before it costs compute.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import CorefaceError, DeadlineExceededError, InferenceFailedError, NotReadyError, OverloadedError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Job(Generic[Item, Outcome]):
    item: Item
    submitted_at: float
    """Monotonic seconds."""
    deadline: float
    """Monotonic seconds."""
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]


def _keep(outcome: Outcome, _queue_seconds: float) -> Outcome:
    return outcome


class MicroBatcher(Generic[Item, Outcome]):
    """Runs `process` over batches of submitted items, in a thread of its own.

    `process` answers one outcome or one error per item, in order. `report_queue` may write the seconds that an item
    waited (0 or more) into its outcome.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Item]], Sequence[Outcome | CorefaceError]],
        *,
        max_batch: int,
        max_waiting: int,
        report_queue: Callable[[Outcome, float], Outcome] = _keep,
    ) -> None:
        self._process = process
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._report_queue = report_queue
        self._waiting: deque[_Job[Item, Outcome]] = deque()
        self._changed = threading.Condition()
        self._accepting = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Items submitted and not yet taken into a batch."""
        return len(self._waiting)

    async def start(self, prepare: Callable[[], None] | None = None) -> None:
        """Start the compute thread, run `prepare` in it, and return when that is done. Raises what it raises."""
        if self._thread is not None:
            raise RuntimeError("The batcher was started before.")
        loop = asyncio.get_running_loop()
        prepared: asyncio.Future[None] = loop.create_future()
        self._accepting = True
        self._thread = threading.Thread(target=self._run, args=(prepare, loop, prepared), name="compute", daemon=True)
        self._thread.start()
        await prepared

    async def stop(self) -> None:
        """Let the running batch finish, refuse what waits with `NotReadyError`, end the thread."""
        self._refuse_waiting()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def submit(self, item: Item, timeout_s: float) -> Outcome:
        """The outcome of `item`, within `timeout_s` seconds.

        Raises `OverloadedError` when too much waits, `DeadlineExceededError`, `NotReadyError` when not running,
        `InferenceFailedError` when its batch failed, and the error that `process` answered for it.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        job: _Job[Item, Outcome] = _Job(item, now, now + timeout_s, loop, loop.create_future())
        self._enqueue(job)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await job.answer
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this set ran out before it was done.") from None
        finally:
            # A caller that is gone frees its place at once, rather than when the thread comes by.
            self._withdraw(job)

    def _enqueue(self, job: _Job[Item, Outcome]) -> None:
        with self._changed:
            if not self._accepting:
                raise NotReadyError("The engine is not running.")
            if len(self._waiting) >= self._max_waiting:
                raise OverloadedError("Too many sets wait for the model; try again shortly.")
            self._waiting.append(job)
            self._changed.notify()

    def _withdraw(self, job: _Job[Item, Outcome]) -> None:
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def _run(
        self, prepare: Callable[[], None] | None, loop: asyncio.AbstractEventLoop, prepared: asyncio.Future[None]
    ) -> None:
        try:
            if prepare is not None:
                prepare()
        except BaseException as error:  # noqa: BLE001 (whatever it is belongs to the caller of `start`)
            self._refuse_waiting()
            _call_soon(loop, _fail, prepared, error)
            return
        _call_soon(loop, _answer, prepared, None)
        try:
            while batch := self._take():
                self._compute(batch)
        finally:
            # Also when something that is no Exception ends this thread: nobody may wait for it forever.
            self._refuse_waiting()

    def _take(self) -> list[_Job[Item, Outcome]]:
        """The next batch, as soon as something waits; empty when stopping."""
        with self._changed:
            while True:
                now = time.monotonic()
                batch: list[_Job[Item, Outcome]] = []
                while self._waiting and len(batch) < self._max_batch:
                    job = self._waiting.popleft()
                    if job.deadline > now:
                        batch.append(job)
                if batch or not self._accepting:
                    return batch
                self._changed.wait()

    def _compute(self, batch: list[_Job[Item, Outcome]]) -> None:
        taken_at = time.monotonic()
        outcomes: Sequence[Outcome | CorefaceError]
        try:
            outcomes = self._process([job.item for job in batch])
            if len(outcomes) != len(batch):
                raise RuntimeError(f"{len(outcomes)} outcomes for a batch of {len(batch)}")
        except Exception as error:  # noqa: BLE001 (logged, and chained into every answer of this batch)
            _log.error("A batch of %d failed with %s.", len(batch), type(error).__name__, exc_info=error)
            outcomes = [_failure(error) for _ in batch]
        except BaseException as error:
            for job in batch:
                _call_soon(job.loop, _fail, job.answer, _failure(error))
            raise
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, CorefaceError):
                _call_soon(job.loop, _fail, job.answer, outcome)
            else:
                reported = self._report_queue(outcome, taken_at - job.submitted_at)
                _call_soon(job.loop, _answer, job.answer, reported)

    def _refuse_waiting(self) -> None:
        with self._changed:
            self._accepting = False
            refused = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for job in refused:
            _call_soon(job.loop, _fail, job.answer, NotReadyError("The engine is stopping; try again elsewhere."))


def _failure(error: BaseException) -> InferenceFailedError:
    failure = InferenceFailedError("The model failed on this batch; the service's log says why.")
    failure.__cause__ = error
    return failure


def _call_soon(
    loop: asyncio.AbstractEventLoop,
    settle: Callable[[asyncio.Future[Outcome], Item], None],
    future: asyncio.Future[Outcome],
    value: Item,
) -> None:
    try:
        loop.call_soon_threadsafe(settle, future, value)
    except RuntimeError:
        # The caller's event loop is closed: nobody is left to hear the answer.
        _log.debug("An answer came after its event loop was closed.")


def _answer(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Outcome], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
