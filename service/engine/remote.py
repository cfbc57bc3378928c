"""The template engine on other processes: sets go out over one Redis stream, answers come back over another.

One job stream per pack carries the work to whichever worker is free; one reply stream per API process carries the
answers back, read by a single background task that hands each to the caller that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from service.engine.background import BackgroundTasks, cancellations, heed_cancellation
from service.engine.codec import SealedJob, seal_job, unseal_reply
from service.engine.heartbeats import Heartbeat, find_workers
from service.engine.result_check import check_result
from service.engine.streams import append, read_from_front
from service.errors import (
    CorefaceError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    NotReadyError,
    OverloadedError,
    StoreUnavailableError,
)
from service.store import keys
from service.store.connection import CONNECTION_FAILURES, with_timeout
from service.store.frames import FrameError
from service.store.sealing import PayloadSealer
from service.types import EngineStatus, SetRequest, SetResult

_MAX_WAITING_BYTES = 512 * 2**20
_BLOCK_S = 1.0
_READ_TIMEOUT_S = 2.0
_READ_BATCH = 64
_SEND_BYTES_PER_S = 20e6
"""Slowest link to the server that a large set is still given time for."""
_MAX_SEND_TIMEOUT_S = 10.0
_SENDERS = 16
_WATCH_INTERVAL_S = 0.5
_REPLY_GRACE_S = 2.0
"""How long answers may be unreachable before those who wait are told."""
_MIN_PAUSE_S = 0.05
_MAX_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    request: SetRequest
    size: int
    """Bytes of its samples."""
    answer: asyncio.Future[SetResult]


class RemoteEngine:
    """A `TemplateEngine` whose work is done by the workers of one pack.

    At most `max_waiting_sets` sets, and half a gigabyte of images, are in flight. It connects by itself, again and
    again; while the server is away, or takes longer than `send_timeout_s` seconds (more for megabytes) to take a
    set, `create` raises `StoreUnavailableError`.
    """

    def __init__(
        self,
        redis: Redis,
        sealer: PayloadSealer,
        fingerprint: str,
        *,
        max_waiting_sets: int,
        send_timeout_s: float = 0.25,
    ) -> None:
        self._redis = redis
        self._sealer = sealer
        self._fingerprint = fingerprint
        self._max_waiting_sets = max_waiting_sets
        self._send_timeout_s = send_timeout_s
        self._jobs = keys.job_stream_key(fingerprint)
        self._replies = keys.reply_stream_key(fingerprint, secrets.token_hex(8))
        self._reader = with_timeout(redis, _READ_TIMEOUT_S, max_connections=1)
        self._sender = with_timeout(redis, _MAX_SEND_TIMEOUT_S, max_connections=_SENDERS)
        self._waiting: dict[str, _Waiting] = {}
        self._workers: list[Heartbeat] = []
        self._background = BackgroundTasks()
        self._running = False

    async def start(self) -> None:
        """Begin to listen. Neither the server nor a worker has to be there yet."""
        self._running = True
        self._background.spawn(self._read_replies())
        self._background.spawn(self._watch_workers())

    async def stop(self) -> None:
        self._running = False
        self._fail_all(NotReadyError("The service is stopping; try again elsewhere."))
        await self._background.end()
        try:
            await self._redis.delete(self._replies)
        except CONNECTION_FAILURES:
            _log.info("The reply stream could not be removed; it expires by itself.")
        await self._reader.aclose()
        await self._sender.aclose()

    async def create(self, request: SetRequest) -> SetResult:
        """As the protocol says; also raises `StoreUnavailableError` and `SetQuarantinedError`."""
        deadline = time.monotonic() + request.timeout_s
        waiting = self._admit(request)
        entry_id: bytes | None = None
        before = cancellations()
        try:
            async with asyncio.timeout(request.timeout_s) as limit:
                await self._require_worker()
                heed_cancellation(before)
                entry_id = await self._send(request, deadline, waiting.size)
                heed_cancellation(before)
                return check_result(request, await waiting.answer)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this set ran out before a worker was done with it.") from None
        finally:
            del self._waiting[request.request_id]
            if not _answered(waiting.answer) and entry_id is not None:
                self._background.spawn(self._withdraw(entry_id))

    async def status(self) -> EngineStatus:
        try:
            workers = await self._find_workers()
        except StoreUnavailableError as error:
            return EngineStatus(ready=False, detail=error.detail, workers=0, providers=())
        providers = tuple(sorted({provider for worker in workers for provider in worker.providers}))
        detail = f"{len(workers)} worker(s) answer for this pack." if workers else "No worker answers for this pack."
        return EngineStatus(
            ready=self._running and bool(workers), detail=detail, workers=len(workers), providers=providers
        )

    def _admit(self, request: SetRequest) -> _Waiting:
        """A place in flight, before any work is done for the request."""
        if request.fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"The set is for pack {request.fingerprint}; this engine runs {self._fingerprint}."
            )
        if not self._running:
            raise NotReadyError("The engine is not running.")
        size = sum(len(sample.data) for sample in request.samples)
        in_flight = sum(waiting.size for waiting in self._waiting.values())
        if len(self._waiting) >= self._max_waiting_sets or (in_flight and in_flight + size > _MAX_WAITING_BYTES):
            raise OverloadedError("Too many sets are in flight; try again shortly.")
        waiting = _Waiting(request, size, asyncio.get_running_loop().create_future())
        self._waiting[request.request_id] = waiting
        return waiting

    async def _require_worker(self) -> None:
        if not self._workers and not await self._find_workers():
            raise NotReadyError("No worker is running for this pack; start one with `coreface worker`.")

    async def _send(self, request: SetRequest, deadline: float, size: int) -> bytes:
        budget_ms = max(1, int((deadline - time.monotonic()) * 1000))
        job: SealedJob = await asyncio.to_thread(seal_job, request, self._replies, budget_ms, self._sealer)
        try:
            async with asyncio.timeout(min(self._send_timeout_s + size / _SEND_BYTES_PER_S, _MAX_SEND_TIMEOUT_S)):
                return await append(self._sender, self._jobs, job.to_fields())
        except (*CONNECTION_FAILURES, TimeoutError) as error:
            raise _unavailable(error) from error

    async def _withdraw(self, entry_id: bytes) -> None:
        """Nobody waits for this job any longer: take it back, if no worker has it yet."""
        try:
            await self._redis.xdel(self._jobs, entry_id)
        except CONNECTION_FAILURES:
            _log.debug("A job could not be withdrawn; its budget ends it.")

    async def _watch_workers(self) -> None:
        while True:
            try:
                await self._find_workers()
            except StoreUnavailableError:
                # `create` asks again before it refuses, and says why.
                self._workers = []
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _find_workers(self) -> list[Heartbeat]:
        try:
            self._workers = await find_workers(self._redis, self._fingerprint)
        except CONNECTION_FAILURES as error:
            raise _unavailable(error) from error
        return self._workers

    async def _read_replies(self) -> None:
        failing_since: float | None = None
        pause_s = _MIN_PAUSE_S
        while True:
            try:
                await self._read_some_replies()
                failing_since, pause_s = None, _MIN_PAUSE_S
            except CONNECTION_FAILURES as error:
                now = time.monotonic()
                if failing_since is None:
                    failing_since = now
                    _log.warning("Answers cannot be read (%s); trying again.", type(error).__name__)
                elif now - failing_since > _REPLY_GRACE_S:
                    self._fail_all(_unavailable(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _read_some_replies(self) -> None:
        """Wait for answers, hand them out, remove them. What is read is removed, so reading starts at the front
        each time: right even after the server lost its data and began to count anew."""
        entries = await read_from_front(self._reader, self._replies, count=_READ_BATCH, block_s=_BLOCK_S)
        for entry in entries:
            self._hand_out(entry.fields)
        if entries:
            await self._reader.xdel(self._replies, *(entry.entry_id for entry in entries))

    def _hand_out(self, fields: Mapping[bytes, bytes]) -> None:
        request_id = fields.get(b"i", b"").decode("ascii", "replace")
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer.done():
            return  # nobody waits any longer, or a second worker answered too
        try:
            reply = unseal_reply(request_id, fields.get(b"p", b""), self._fingerprint, self._sealer)
        except FrameError as error:
            _log.error("An answer cannot be read: %s", error)
            reply = InferenceFailedError(f"The worker's answer cannot be read. {error}")
        if isinstance(reply, CorefaceError):
            waiting.answer.set_exception(reply)
        else:
            waiting.answer.set_result(reply)

    def _fail_all(self, error: CorefaceError) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _answered(answer: asyncio.Future[SetResult]) -> bool:
    """Whether an answer came. Marks an error as seen, in case its caller went another way."""
    if answer.cancelled() or not answer.done():
        return False
    answer.exception()
    return True


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"The way to the workers does not answer ({type(error).__name__}).")
