"""The template engine on other processes: sets go out over Redis streams, answers come back over others.

One job stream per pack carries the work to whichever worker is free; where one server is not enough there are several,
each a lane of its own, and a set takes the lane that has the least to do. Sets wait here, in fair order, rather than in
the streams, which hold no more than keeps every worker busy: what waits here can still be dropped or put behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis

from service.conditions import EngineStatus, WorkerStatus
from service.engine.background import cancellations, heed_cancellation
from service.engine.codec import unseal_reply
from service.engine.heartbeats import KEY_MARK, Heartbeat
from service.engine.queue_lane import QueueLane
from service.engine.result_check import check_result
from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    NotReadyError,
    OverloadedError,
    StoreUnavailableError,
)
from service.observability import tracing
from service.observability.set_tracing import set_span
from service.pipeline.fair_gate import FairGate
from service.store.frames import FrameError
from service.store.sealing import PayloadSealer
from service.types import SetRequest, SetResult

_MAX_BYTES = 512 * 2**20
"""Of samples in flight and waiting."""
_SETS_PER_SLOT = 2
"""Sent per place of the workers: one is worked on, the next is at hand. So the stream's lag also tells whether more
workers would help."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    request: SetRequest
    answer: asyncio.Future[SetResult]
    lane: QueueLane | None = None
    entry_id: bytes | None = field(default=None, repr=False)


class RemoteEngine:
    """A `TemplateEngine` whose work is done by the workers of one pack, over one queue server or several.

    At most `max_waiting_sets` sets wait, and half a gigabyte of images is held. While no server answers, or none takes
    a set within `send_timeout_s` seconds (more for megabytes), `create` raises `StoreUnavailableError`.
    """

    def __init__(
        self,
        queues: Sequence[Redis],
        sealer: PayloadSealer,
        fingerprint: str,
        *,
        max_waiting_sets: int,
        send_timeout_s: float = 0.25,
    ) -> None:
        self._sealer = sealer
        self._fingerprint = fingerprint
        self._lanes = [
            QueueLane(
                redis,
                sealer,
                fingerprint,
                send_timeout_s=send_timeout_s,
                on_reply=self._hand_out,
                on_loss=self._fail_lane,
            )
            for redis in queues
        ]
        self._gate = FairGate(1, max_waiting_sets)
        self._waiting: dict[str, _Waiting] = {}
        self._running = False

    @property
    def gate(self) -> FairGate:
        """For the metrics."""
        return self._gate

    async def start(self) -> None:
        """Begin to listen. Neither a server nor a worker has to be there yet."""
        self._running = True
        for lane in self._lanes:
            lane.start()

    async def stop(self) -> None:
        self._running = False
        for waiting in self._waiting.values():
            _fail(waiting, NotReadyError("The service is stopping; try again elsewhere."))
        for lane in self._lanes:
            await lane.stop()

    async def create(self, request: SetRequest) -> SetResult:
        """As the protocol says; also raises `StoreUnavailableError` and `SetQuarantinedError`."""
        with set_span(request):
            return await self._create(request)

    async def _create(self, request: SetRequest) -> SetResult:
        deadline = time.monotonic() + request.timeout_s
        waiting = self._admit(request)
        before = cancellations()
        began = time.monotonic()
        try:
            async with asyncio.timeout(request.timeout_s) as limit:
                await self._require_worker()
                heed_cancellation(before)
                async with self._gate.enter(request.tenant, request.cost, request.timeout_s):
                    queued_s = time.monotonic() - began
                    tracing.past_span("wait", queued_s)
                    await self._send(waiting, deadline)
                    heed_cancellation(before)
                    result = check_result(request, await waiting.answer)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this set ran out before a worker was done with it.") from None
        finally:
            del self._waiting[request.request_id]
            if not _answered(waiting.answer) and waiting.lane is not None and waiting.entry_id is not None:
                waiting.lane.withdraw_soon(waiting.entry_id)
        result.stage_seconds["queue"] = result.stage_seconds.get("queue", 0.0) + queued_s
        return result

    def check_load(self, tenant: str, time_left_s: float) -> None:
        self._gate.check(tenant, 1, time_left_s)

    async def status(self) -> EngineStatus:
        workers, failures = await self._find_workers()
        providers = tuple(sorted({provider for worker in workers for provider in worker.providers}))
        detail = f"{len(workers)} worker(s) answer for this pack." if workers else "No worker answers for this pack."
        if failures:
            detail = f"{detail} {len(failures)} of {len(self._lanes)} queue server(s): {failures[0].detail}"
        return EngineStatus(
            ready=self._running and bool(workers),
            detail=detail,
            workers=len(workers),
            providers=providers,
            members=tuple(self._status_of(worker) for worker in workers),
            sets_waiting=self._gate.waiting,
            sets_in_flight=self._gate.inside,
            oldest_s=self._gate.oldest_s,
        )

    @property
    def known_workers(self) -> int:
        """Workers that were there when last looked."""
        return sum(len(lane.workers) for lane in self._lanes)

    def _status_of(self, worker: Heartbeat) -> WorkerStatus:
        same_key = worker.key_mark in self._sealer.blind_each(KEY_MARK) if worker.key_mark else None
        return WorkerStatus(worker.worker_id, worker.version, worker.providers, worker.slots, same_key)

    def _admit(self, request: SetRequest) -> _Waiting:
        """Before any work is done for the request."""
        if request.fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"The set is for pack {request.fingerprint}; this engine runs {self._fingerprint}."
            )
        if not self._running:
            raise NotReadyError("The engine is not running.")
        held = sum(waiting.request.size for waiting in self._waiting.values())
        if held and held + request.size > _MAX_BYTES:
            raise OverloadedError("Too many sets are in flight; try again shortly.")
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting[request.request_id] = waiting
        return waiting

    async def _require_worker(self) -> None:
        if not any(lane.workers for lane in self._lanes):
            await self._look_for_workers()
        slots = sum(worker.slots for lane in self._lanes for worker in lane.workers)
        self._gate.capacity = max(1, _SETS_PER_SLOT * slots)

    async def _look_for_workers(self) -> None:
        workers, failures = await self._find_workers()
        if not workers:
            raise failures[0] if failures else _no_worker()

    async def _find_workers(self) -> tuple[list[Heartbeat], list[StoreUnavailableError]]:
        """Those of all lanes, and why a lane could not be asked."""
        workers: list[Heartbeat] = []
        failures: list[StoreUnavailableError] = []
        for found in await asyncio.gather(*(lane.find_workers() for lane in self._lanes), return_exceptions=True):
            if isinstance(found, StoreUnavailableError):
                failures.append(found)
            elif isinstance(found, BaseException):
                raise found
            else:
                workers += found
        return workers, failures

    async def _send(self, waiting: _Waiting, deadline: float) -> None:
        """Over the lane with the least to do for each of its workers; over another one where that fails."""
        failure: CorefaceError = _no_worker()
        for lane in sorted(self._lanes, key=lambda lane: (not lane.workers, self._load(lane))):
            try:
                if lane.workers or await lane.find_workers():
                    waiting.lane = lane
                    waiting.entry_id = await lane.send(waiting.request, deadline)
                    return
            except StoreUnavailableError as error:
                failure = error
        raise failure

    def _load(self, lane: QueueLane) -> float:
        in_flight = sum(waiting.request.cost for waiting in self._waiting.values() if waiting.lane is lane)
        return in_flight / max(1, sum(worker.slots for worker in lane.workers))

    def _hand_out(self, fields: Mapping[bytes, bytes]) -> None:
        request_id = fields.get(b"i", b"").decode("ascii", "replace")
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer.done():
            return  # nobody waits any longer, or a second worker answered too
        try:
            reply = unseal_reply(request_id, fields.get(b"p", b""), self._fingerprint, self._sealer)
        except FrameError as error:
            _log.error("answer_unreadable", detail=str(error))
            reply = InferenceFailedError(f"The worker's answer cannot be read. {error}")
        if isinstance(reply, CorefaceError):
            _fail(waiting, reply)
        else:
            waiting.answer.set_result(reply)

    def _fail_lane(self, lane: QueueLane, error: CorefaceError) -> None:
        for waiting in self._waiting.values():
            if waiting.lane is lane and waiting.entry_id is not None:
                _fail(waiting, error)


def _no_worker() -> NotReadyError:
    return NotReadyError("No worker is running for this pack; start one with `coreface worker`.")


def _fail(waiting: _Waiting, error: CorefaceError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


def _answered(answer: asyncio.Future[SetResult]) -> bool:
    """Whether an answer came. Marks an error as seen, in case its caller went another way."""
    if answer.cancelled() or not answer.done():
        return False
    answer.exception()
    return True
