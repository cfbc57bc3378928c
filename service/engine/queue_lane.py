"""One way to the workers: a queue server, with a job stream to it and a reply stream back.

A lane connects by itself, again and again, and says whether it is `up`. What it carries is sealed; whose answer a reply
is, the engine knows.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping

import structlog
from redis.asyncio import Redis

from service.engine.background import BackgroundTasks
from service.engine.codec import SealedJob, seal_job
from service.engine.heartbeats import Heartbeat, find_workers
from service.engine.streams import append, is_with_worker, read_from_front
from service.errors import CorefaceError, StoreUnavailableError
from service.observability import tracing
from service.observability.trace_context import current_request_id, current_traceparent
from service.offloading import off_loop
from service.store import keys
from service.store.connection import CONNECTION_FAILURES, with_timeout
from service.store.sealing import PayloadSealer
from service.types import SetRequest

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

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class QueueLane:
    """Jobs out, answers in. `on_reply` gets the fields of every answer, `on_loss` the error when answers have been
    unreachable for longer than a moment."""

    def __init__(
        self,
        redis: Redis,
        sealer: PayloadSealer,
        fingerprint: str,
        *,
        send_timeout_s: float,
        on_reply: Callable[[Mapping[bytes, bytes]], None],
        on_loss: Callable[[QueueLane, CorefaceError], None],
    ) -> None:
        self.workers: list[Heartbeat] = []
        """The living ones, when last looked."""
        self._redis = redis
        self._sealer = sealer
        self._fingerprint = fingerprint
        self._send_timeout_s = send_timeout_s
        self._on_reply = on_reply
        self._on_loss = on_loss
        self._jobs = keys.job_stream_key(fingerprint)
        self._replies = keys.reply_stream_key(fingerprint, secrets.token_hex(8))
        self._reader = with_timeout(redis, _READ_TIMEOUT_S, max_connections=1)
        self._sender = with_timeout(redis, _MAX_SEND_TIMEOUT_S, max_connections=_SENDERS)
        self._background = BackgroundTasks()

    def start(self) -> None:
        """Begin to listen. Neither the server nor a worker has to be there yet."""
        self._background.spawn(self._read_replies())
        self._background.spawn(self._watch_workers())

    async def stop(self) -> None:
        await self._background.end()
        try:
            await self._redis.delete(self._replies)
        except CONNECTION_FAILURES:
            _log.info("reply_stream_left")
        await self._reader.aclose()
        await self._sender.aclose()

    async def find_workers(self) -> list[Heartbeat]:
        """Look now. Raises `StoreUnavailableError`."""
        try:
            self.workers = await find_workers(self._redis, self._fingerprint)
        except CONNECTION_FAILURES as error:
            self.workers = []
            raise _unavailable(error) from error
        return self.workers

    async def send(self, request: SetRequest, deadline: float) -> bytes:
        """Seal the request and add it to the jobs; answers the entry's id. `deadline`: monotonic seconds. Raises
        `StoreUnavailableError`."""
        budget_ms = max(1, int((deadline - time.monotonic()) * 1000))
        with tracing.span("send", tracing.Kind.PRODUCER):
            job: SealedJob = await off_loop(
                request.size,
                seal_job,
                request,
                self._replies,
                budget_ms,
                current_traceparent(),
                self._sealer,
                current_request_id(),
            )
            try:
                patience_s = min(self._send_timeout_s + request.size / _SEND_BYTES_PER_S, _MAX_SEND_TIMEOUT_S)
                async with asyncio.timeout(patience_s):
                    return await append(self._sender, self._jobs, job.to_fields())
            except (*CONNECTION_FAILURES, TimeoutError) as error:
                self.workers = []  # until it is seen again, other lanes are the better choice
                raise _unavailable(error) from error

    def withdraw_soon(self, entry_id: bytes) -> None:
        """Nobody waits for this job any longer: take it back, if no worker has it yet."""
        self._background.spawn(self._withdraw(entry_id))

    async def _withdraw(self, entry_id: bytes) -> None:
        try:
            # What a worker has stays: should it die of it, the next one has to know which set it was.
            if not await is_with_worker(self._redis, self._jobs, entry_id):
                await self._redis.xdel(self._jobs, entry_id)
        except CONNECTION_FAILURES:
            _log.debug("job_not_withdrawn")

    async def _watch_workers(self) -> None:
        while True:
            try:
                await self.find_workers()
            except StoreUnavailableError:
                _log.debug("workers_unknown")  # who needs them asks again, and is told why
            await asyncio.sleep(_WATCH_INTERVAL_S)

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
                    _log.warning("answers_unreachable", error=type(error).__name__)
                elif now - failing_since > _REPLY_GRACE_S:
                    self._on_loss(self, _unavailable(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _read_some_replies(self) -> None:
        """Wait for answers, hand them out, remove them. What is read is removed, so reading starts at the front
        each time: right even after the server lost its data and began to count anew."""
        entries = await read_from_front(self._reader, self._replies, count=_READ_BATCH, block_s=_BLOCK_S)
        for entry in entries:
            self._on_reply(entry.fields)
        if entries:
            await self._reader.xdel(self._replies, *(entry.entry_id for entry in entries))


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"The way to the workers does not answer ({type(error).__name__}).")
