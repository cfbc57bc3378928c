"""Takes jobs from the stream, has an engine do them, and answers: the working loop of a worker process.

A job is answered and removed in one transaction, so a worker that dies leaves it in the stream, marked as delivered.
Living workers keep touching what they hold; what nobody touches any more is taken over by another worker and done
*alone*, so that a set which kills workers is known by the second death and its neighbours are not blamed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, replace

import structlog
from redis.asyncio import Redis

from service.engine import streams
from service.engine.background import end_tasks
from service.engine.codec import SealedJob, seal_reply, unseal_job
from service.engine.heartbeats import Heartbeat, beat, retire
from service.engine.local import LocalEngine
from service.engine.quarantine import Quarantine, Standing
from service.engine.streams import StreamEntry
from service.errors import CorefaceError, DeadlineExceededError, InferenceFailedError, SetQuarantinedError
from service.observability import tracing
from service.observability.trace_context import bound_request_id, bound_trace
from service.observability.worker_metrics import WorkerMetrics
from service.offloading import off_loop
from service.store import keys
from service.store.connection import CONNECTION_FAILURES, with_timeout
from service.store.frames import FrameError
from service.store.sealing import PayloadSealer
from service.types import SetResult

_READ_TIMEOUT_S = 10.0
"""For reading a batch of large sets; blocking reads end by themselves much earlier."""
_REPLY_TTL_S = 120.0
_MIN_PAUSE_S = 0.05
_MAX_PAUSE_S = 2.0

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerTiming:
    """Seconds."""

    beat_interval_s: float = 1.0
    abandoned_after_s: float = 5.0
    """A worker that has not been heard of for so long is dead: several beats."""
    block_s: float = 0.5
    """How long a read waits for work; a stop takes as long at most to be noticed."""
    hang_grace_s: float = 5.0
    """How much longer than any request a batch may take before its worker ends itself."""


class StreamWorker:
    """Feeds a started engine from the job stream of its pack, up to `heartbeat.slots` sets at a time.

    Loss of the server is never the end: it is tried again, with growing pauses, for as long as `run` runs.
    """

    def __init__(
        self,
        redis: Redis,
        sealer: PayloadSealer,
        engine: LocalEngine,
        heartbeat: Heartbeat,
        *,
        timing: WorkerTiming | None = None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._redis = redis
        self._reader = with_timeout(redis, _READ_TIMEOUT_S, max_connections=1)
        self._sealer = sealer
        self._engine = engine
        self._heartbeat = heartbeat
        self._timing = timing or WorkerTiming()
        self._metrics = metrics or WorkerMetrics()
        self._jobs = keys.job_stream_key(heartbeat.fingerprint)
        self._quarantine = Quarantine(redis, sealer, heartbeat.fingerprint)
        self._held: dict[bytes, asyncio.Task[None]] = {}
        self._draining = asyncio.Event()
        self._last_beat = -math.inf

    @property
    def obstacle(self) -> str | None:
        """Why this worker is sent no sets, in a sentence; None while it is."""
        if self._draining.is_set():
            return "The worker is stopping."
        if time.monotonic() - self._last_beat > self._timing.abandoned_after_s:
            return "The server with the jobs has not heard of this worker."
        return None

    def drain(self) -> None:
        """Take no more jobs; `run` returns when the ones taken are answered."""
        self._draining.set()

    async def run(self) -> None:
        """Work until `drain` is called."""
        pulse = asyncio.create_task(self._keep_alive())
        pause_s = _MIN_PAUSE_S
        try:
            while not self._draining.is_set():
                try:
                    await self._work()
                    pause_s = _MIN_PAUSE_S
                except CONNECTION_FAILURES as error:
                    if not streams.is_missing_group(error):
                        _log.warning("jobs_unreachable", error=type(error).__name__)
                    await self._pause(pause_s)
                    pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            await self._finish_held()
        finally:
            await end_tasks([pulse, *self._held.values()])
            with contextlib.suppress(*CONNECTION_FAILURES):
                await retire(self._redis, self._heartbeat)
            await self._reader.aclose()

    async def _work(self) -> None:
        """Take jobs until draining."""
        await streams.ensure_group(self._reader, self._jobs)
        next_search = 0.0
        while not self._draining.is_set():
            if time.monotonic() >= next_search:
                await self._take_over_abandoned()
                next_search = time.monotonic() + self._timing.beat_interval_s
            free = self._heartbeat.slots - len(self._held)
            if free <= 0:
                await asyncio.wait(self._held.values(), return_when=asyncio.FIRST_COMPLETED)
                continue
            entries = await streams.read_new(
                self._reader, self._jobs, self._consumer, count=free, block_s=self._timing.block_s
            )
            if entries:
                now_ms = await streams.server_now_ms(self._reader)
                for entry in entries:
                    self._hold(entry, now_ms)

    async def _take_over_abandoned(self) -> None:
        while not self._draining.is_set():
            idle_s = self._timing.abandoned_after_s
            found = await streams.find_abandoned(self._reader, self._jobs, idle_s=idle_s)
            if found is None:
                return
            if found.entry_id in self._held:
                return  # ours, and late: this process was held up
            # Alone: whatever dies now, dies of this set.
            await self._finish_held()
            entry = await streams.claim(self._reader, self._jobs, self._consumer, found.entry_id, idle_s=idle_s)
            if entry is None:
                continue
            now_ms = await streams.server_now_ms(self._reader)
            _log.warning("job_taken_over", deliveries=found.deliveries)
            self._metrics.set_taken_over()
            self._hold(entry, now_ms, deaths=found.deliveries)
            await self._finish_held()

    def _hold(self, entry: StreamEntry, now_ms: int, *, deaths: int = 0) -> None:
        """Work on a job. `deaths`: of workers that held it before; it is alone here, then."""
        age_s = max(0.0, (now_ms - entry.written_ms) / 1000)
        self._metrics.set_taken(age_s)
        task = asyncio.create_task(self._handle(entry, age_s, deaths))
        self._held[entry.entry_id] = task
        task.add_done_callback(lambda _done: self._held.pop(entry.entry_id, None))

    async def _finish_held(self) -> None:
        if self._held:
            await asyncio.wait(self._held.values())

    async def _handle(self, entry: StreamEntry, age_s: float, deaths: int) -> None:
        try:
            job = SealedJob.from_fields(entry.fields)
        except FrameError as error:
            _log.error("job_thrown_away", detail=str(error))
            await self._deliver(entry, None, time.monotonic() + self._timing.abandoned_after_s)
            self._metrics.set_ended("unreadable", 0.0)
            return
        began = time.monotonic()
        with (
            bound_request_id(job.http_request_id),
            tracing.continued_span(job.traceparent, "process set", tracing.Kind.CONSUMER) as span,
            bound_trace(job.traceparent),
        ):
            tracing.past_span("queue", age_s)
            outcome = await self._work_off(entry, job, age_s, deaths)
            span.note({"coreface.set.outcome": outcome, "coreface.worker.id": self._heartbeat.worker_id})
            if outcome != "answered":
                span.fail(outcome)
            seconds = time.monotonic() - began
            self._metrics.set_ended(outcome, seconds)
            _log.info("set", outcome=outcome, seconds=round(seconds, 4), queue_seconds=round(age_s, 4))

    async def _work_off(self, entry: StreamEntry, job: SealedJob, age_s: float, deaths: int) -> str:
        """Answer one job, throw it away, or set it aside; what became of it, for whoever watches."""
        soon = time.monotonic() + self._timing.abandoned_after_s
        deadline = time.monotonic() + job.budget_ms / 1000 - age_s
        if deadline <= time.monotonic():
            # Whoever asked has been told already; computing it would be for nobody.
            if deaths:
                await self._blame(job, deaths)
            await self._deliver(entry, None, soon)
            return "expired"
        reply = await self._answer(job, age_s, deadline, deaths)
        if reply is None:
            return "set_aside"
        if isinstance(reply, DeadlineExceededError):
            # Held until whatever runs has ended: a batch that never does may do so because of this set.
            await self._outlast_batches()
        sealed = seal_reply(job.request_id, reply, self._heartbeat.fingerprint, self._sealer)
        with tracing.span("reply", tracing.Kind.PRODUCER):
            delivered = await self._deliver(entry, (job, sealed), deadline)
        if not delivered:
            return "undelivered"
        return reply.code if isinstance(reply, CorefaceError) else "answered"

    async def _answer(
        self, job: SealedJob, age_s: float, deadline: float, deaths: int
    ) -> SetResult | CorefaceError | None:
        """None: it is to be done alone. Nobody touches it any more, so it will be taken over."""
        fingerprint = self._heartbeat.fingerprint
        try:
            request = await off_loop(len(job.payload), unseal_job, job, fingerprint, self._sealer)
            standing = await self._quarantine.standing(request, deaths)
            if standing is Standing.QUARANTINED:
                return SetQuarantinedError("This set ended the workers that tried it; it is not tried again.")
            if standing is Standing.SUSPECT and not deaths:
                return None
            result = await self._engine.create(replace(request, timeout_s=deadline - time.monotonic()))
            if standing is Standing.SUSPECT:
                await self._quarantine.clear(request)
        except CorefaceError as error:
            return error
        except FrameError as error:
            _log.error("job_unreadable", detail=str(error))
            return InferenceFailedError(f"The worker cannot read the set. {error}")
        except Exception as error:  # noqa: BLE001 (logged, and answered as a failure of this one set)
            _log.error("job_failed", exc_info=error)
            return InferenceFailedError("The worker failed on this set; its log says why.")
        seconds = {**result.stage_seconds, "queue": result.stage_seconds.get("queue", 0.0) + age_s}
        return replace(result, stage_seconds=seconds)

    async def _blame(self, job: SealedJob, deaths: int) -> None:
        try:
            request = await off_loop(len(job.payload), unseal_job, job, self._heartbeat.fingerprint, self._sealer)
        except FrameError as error:
            _log.error("job_unreadable", detail=str(error))
        else:
            await self._quarantine.blame(request, deaths)

    async def _outlast_batches(self) -> None:
        """Return when every batch that runs now has ended."""
        began = time.monotonic()
        while self._engine.stuck_s > time.monotonic() - began:  # noqa: ASYNC110 (threads set no event of a loop)
            await asyncio.sleep(_MIN_PAUSE_S)

    async def _deliver(self, entry: StreamEntry, reply: tuple[SealedJob, bytes] | None, deadline: float) -> bool:
        """Remove the job, with its reply if there is one; False where that fails until nobody waits for it any more."""
        pause_s = _MIN_PAUSE_S
        while True:
            try:
                if reply is None:
                    await streams.finish(self._redis, self._jobs, entry.entry_id)
                else:
                    job, sealed = reply
                    fields = {b"i": job.request_id.encode(), b"p": sealed}
                    await streams.reply_and_finish(
                        self._redis, self._jobs, entry.entry_id, job.reply_stream, fields, reply_ttl_s=_REPLY_TTL_S
                    )
            except CONNECTION_FAILURES as error:
                if time.monotonic() > deadline:
                    _log.error("answer_undelivered", error=type(error).__name__)
                    return False
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            else:
                return True

    async def _keep_alive(self) -> None:
        """Be seen, and keep what is held from being taken over."""
        while True:
            try:
                if self._draining.is_set():
                    await retire(self._redis, self._heartbeat)
                else:
                    await beat(self._redis, self._heartbeat, self._timing.abandoned_after_s)
                    self._last_beat = time.monotonic()
                if self._held:
                    await streams.keep(self._redis, self._jobs, self._consumer, list(self._held))
            except CONNECTION_FAILURES as error:
                _log.debug("heartbeat_failed", error=type(error).__name__)
            await asyncio.sleep(self._timing.beat_interval_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)

    @property
    def _consumer(self) -> str:
        return self._heartbeat.worker_id
