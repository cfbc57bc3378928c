"""Batches the work of concurrent sets, stage by stage.

A stage is one kind of work: decoding, detection, embedding. A runner's threads take, whenever one is free, everything
that waits for a stage, up to what one batch of it may cost and to its share beside other free threads, and add no delay
of their own: under light load a batch is one item, under heavy load batches fill by themselves. Of several stages with
work the last one goes first, so that sets get finished and what lies between the stages stays small. What nobody waits
for any longer (deadline passed, caller gone) is dropped before it costs compute. How much waits is bounded by whoever
lets sets in (`fair_gate`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from service.errors import CorefaceError, DeadlineExceededError, InferenceFailedError, NotReadyError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchDone:
    """One batch of one stage, for the metrics."""

    stage: str
    cost: int
    """Of all its items: pictures, faces or sets."""
    waited_s: tuple[float, ...]
    """Of each item, from its hand-over to the start of the batch."""
    service_s: float
    cpu_s: float
    """Processor time of the thread that did it: less than `service_s` where others had the core, or other threads or
    a GPU did the work."""
    served: tuple[Context, ...]
    """Of each item, the context that it was handed over in; nobody is in it."""


BatchObserver = Callable[[BatchDone], None]
"""Called by the thread that did the batch."""


def unobserved(_done: BatchDone) -> None:
    return


@dataclass(frozen=True, slots=True, eq=False)
class _Job(Generic[Item, Outcome]):
    item: Item
    cost: int
    submitted_at: float
    """Monotonic seconds."""
    deadline: float
    """Monotonic seconds."""
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]
    context: Context
    """A copy."""


class Stage(Generic[Item, Outcome]):
    """Made by `StageRunner.add_stage`."""

    def __init__(
        self,
        runner: StageRunner,
        name: str,
        process: Callable[[Sequence[Item]], Sequence[Outcome | CorefaceError]],
        max_cost: int,
    ) -> None:
        self.name = name
        self.process = process
        self.max_cost = max_cost
        self.jobs: deque[_Job[Item, Outcome]] = deque()
        """Guarded by the runner."""
        self._runner = runner

    async def submit(self, item: Item, *, deadline: float, cost: int = 1) -> Outcome:
        """The outcome of `item`, before `deadline` (monotonic seconds).

        Raises `DeadlineExceededError`, `NotReadyError` when not running, `InferenceFailedError` when `process` failed
        on this very item, and the error that it answered or raised for it.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        job: _Job[Item, Outcome] = _Job(item, cost, now, deadline, loop, loop.create_future(), copy_context())
        self._runner.enqueue(self, job)
        try:
            async with asyncio.timeout(deadline - now) as limit:
                return await job.answer
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this set ran out before it was done.") from None
        finally:
            # A caller that is gone frees its place at once, rather than when a thread comes by.
            self._runner.withdraw(self, job)

    def take(self, now: float, threads: int) -> list[_Job[Item, Outcome]]:
        """What waits, the oldest first, up to one batch and no more than its share for each of the `threads` that have
        nothing to do. Called with the runner's lock held."""
        batch: list[_Job[Item, Outcome]] = []
        cost = 0
        most = -(-len(self.jobs) // threads)
        while self.jobs and len(batch) < most and (not batch or cost + self.jobs[0].cost <= self.max_cost):
            job = self.jobs.popleft()
            if job.deadline > now:
                batch.append(job)
                cost += job.cost
        return batch


class StageRunner:
    """Threads that run the batches of some stages. Stages are added before anything is submitted to them."""

    def __init__(self, name: str, *, threads: int = 1, observe: BatchObserver = unobserved) -> None:
        self._name = name
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(threads)]
        self.observe = observe
        self._stages: list[Stage[Any, Any]] = []
        self._changed = threading.Condition()
        self._accepting = False
        self._batch_began: dict[int, float] = {}
        self._idle = 0

    def add_stage(
        self,
        name: str,
        process: Callable[[Sequence[Item]], Sequence[Outcome | CorefaceError]],
        *,
        max_cost: int,
    ) -> Stage[Item, Outcome]:
        """The last stage added is the last one of a set. `process` answers one outcome or one error per item, in order,
        in one of the runner's threads; a batch costs `max_cost` at most, or is one item."""
        stage: Stage[Item, Outcome] = Stage(self, name, process, max_cost)
        self._stages.append(stage)
        return stage

    @property
    def busy_s(self) -> float:
        """How long the longest of the running batches has been running, seconds; 0 when idle."""
        began = min(tuple(self._batch_began.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def start(self) -> None:
        """Begin to accept work. Once only."""
        self._accepting = True
        for thread in self._threads:
            thread.start()

    def refuse(self) -> None:
        """Accept nothing more; what waits gets `NotReadyError`. Running batches are finished, then the threads end."""
        with self._changed:
            self._accepting = False
            refused = [job for stage in self._stages for job in stage.jobs]
            for stage in self._stages:
                stage.jobs.clear()
            self._changed.notify_all()
        for job in refused:
            _call_soon(job.loop, _fail, job.answer, NotReadyError("The engine is stopping; try again elsewhere."))

    def stop(self) -> None:
        """As `refuse`, and wait for the threads. Not from an event loop that they answer to."""
        self.refuse()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def enqueue(self, stage: Stage[Any, Any], job: _Job[Any, Any]) -> None:
        with self._changed:
            if not self._accepting:
                raise NotReadyError("The engine is not running.")
            stage.jobs.append(job)
            self._changed.notify()

    def withdraw(self, stage: Stage[Any, Any], job: _Job[Any, Any]) -> None:
        with self._changed:
            if job in stage.jobs:
                stage.jobs.remove(job)

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                self._do(*taken)
        except BaseException as error:  # noqa: BLE001 (nobody is above this thread to hear of it)
            _log.critical("stage_thread_ended", runner=self._name, exc_info=error)
        finally:
            # Also when something that is no Exception ends a thread: nobody may wait for it forever.
            self.refuse()

    def _take(self) -> tuple[Stage[Any, Any], list[_Job[Any, Any]]] | None:
        """The next batch, as soon as something waits; None when stopping."""
        with self._changed:
            self._idle += 1
            try:
                while True:
                    now = time.monotonic()
                    for stage in reversed(self._stages):
                        if batch := stage.take(now, self._idle):
                            return stage, batch
                    if not self._accepting:
                        return None
                    self._changed.wait()
            finally:
                self._idle -= 1

    def _do(self, stage: Stage[Any, Any], batch: list[_Job[Any, Any]]) -> None:
        began = self._batch_began[threading.get_ident()] = time.monotonic()
        cpu_began = time.thread_time()
        try:
            outcomes = self._outcomes(stage, [job.item for job in batch])
        except BaseException as error:
            for job in batch:
                _call_soon(job.loop, _fail, job.answer, _failure(error))
            raise
        finally:
            del self._batch_began[threading.get_ident()]
        cpu_s = time.thread_time() - cpu_began
        for job, outcome in zip(batch, outcomes, strict=True):
            settle = _fail if isinstance(outcome, CorefaceError) else _answer
            _call_soon(job.loop, settle, job.answer, outcome)
        waited = tuple(began - job.submitted_at for job in batch)
        cost = sum(job.cost for job in batch)
        served = tuple(job.context for job in batch)
        self.observe(BatchDone(stage.name, cost, waited, time.monotonic() - began, cpu_s, served))

    def _outcomes(self, stage: Stage[Any, Any], items: list[Any]) -> list[Any]:
        """Of each item. A batch that fails is tried again by halves, so that only what fails alone has failed; memory
        that ran out for many may do for fewer."""
        try:
            outcomes = list(stage.process(items))
            if len(outcomes) != len(items):
                raise RuntimeError(f"{len(outcomes)} outcomes for a batch of {len(items)}")
            return outcomes
        except Exception as error:  # noqa: BLE001 (logged, and answered for one item)
            if len(items) == 1:
                return [self._failure_of(stage, error)]
        middle = len(items) // 2
        return self._outcomes(stage, items[:middle]) + self._outcomes(stage, items[middle:])

    @staticmethod
    def _failure_of(stage: Stage[Any, Any], error: Exception) -> CorefaceError:
        if isinstance(error, CorefaceError):
            return error
        _log.error("stage_failed", stage=stage.name, exc_info=error)
        return _failure(error)


def _failure(error: BaseException) -> InferenceFailedError:
    failure = InferenceFailedError("The model failed on this set; the service's log says why.")
    failure.__cause__ = error
    return failure


def _call_soon(
    loop: asyncio.AbstractEventLoop,
    settle: Callable[[asyncio.Future[Any], Any], None],
    future: asyncio.Future[Any],
    value: object,
) -> None:
    try:
        loop.call_soon_threadsafe(settle, future, value)
    except RuntimeError:
        # The caller's event loop is closed: nobody is left to hear the answer.
        _log.debug("answer_too_late")


def _answer(future: asyncio.Future[Any], outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
