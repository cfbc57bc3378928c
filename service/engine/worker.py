"""The worker process: a pack, a local engine around it, and the stream that feeds it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

import structlog

from service.assembly import build_set_processor, decode_threads, device_threads
from service.engine.background import end_tasks
from service.engine.consumer import StreamWorker, WorkerTiming
from service.engine.heartbeats import KEY_MARK, Heartbeat
from service.engine.local import LocalEngine, SetProcessor
from service.errors import SetupError
from service.http_listening import open_listener
from service.memory_arenas import limit_arenas
from service.observability.set_tracing import observing_passes
from service.observability.worker_metrics import WorkerMetrics
from service.runtime.pack import load_pack
from service.settings import Settings
from service.store.connection import connect_redis
from service.store.sealing import PayloadSealer, SealingPurpose, load_key_ring

STUCK = 70
"""Exit status of a worker that ended itself (`EX_SOFTWARE` of sysexits.h)."""
_WATCH_INTERVAL_S = 0.5
_ARENAS = 4
"""Fewer save more memory, and cost images a second: `docs/performance.md`."""
_TIMEOUT_S = 2.0
"""A worker has nobody waiting on its connection: a slow server is better than a retry."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


async def run_worker(settings: Settings) -> None:
    """Serve jobs of the settings' pack until SIGTERM or SIGINT; then finish what was taken, and return.

    Raises `SetupError` and its kin where it cannot start: no Redis URL, no valid pack, no such device, a taken port.
    """
    limit_arenas(_ARENAS)
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    metrics = WorkerMetrics()
    await serve_jobs(
        settings,
        pack.fingerprint,
        lambda: build_set_processor(pack, settings, on_network=metrics.stages.network_opened),
        metrics=metrics,
    )


async def serve_jobs(
    settings: Settings,
    fingerprint: str,
    build_processor: Callable[[], tuple[SetProcessor, str]],
    timing: WorkerTiming | None = None,
    metrics: WorkerMetrics | None = None,
) -> None:
    """`run_worker` for any processor."""
    if not settings.queue_url_list:
        raise SetupError("A worker needs COREFACE_REDIS_URL; `coreface serve` starts a store and workers by itself.")
    # Twice the batch: while one batch is with the model, the next is fetched and unsealed.
    slots = 2 * settings.max_batch_sets
    sealer = PayloadSealer(load_key_ring(settings), SealingPurpose.ENGINE)
    metrics = metrics or WorkerMetrics()
    engine = LocalEngine(
        build_processor,
        fingerprint,
        max_batch_sets=settings.max_batch_sets,
        max_waiting_sets=slots,
        device_threads=device_threads(settings),
        decode_threads=decode_threads(settings),
        observe=observing_passes(metrics.stages),
        admitted=True,
    )
    consumers: list[StreamWorker] = []

    def obstacle() -> str | None:
        """One server that sends sets is enough."""
        obstacles = [consumer.obstacle for consumer in consumers] or ["The model is being loaded."]
        return None if None in obstacles else obstacles[0]

    metrics.follow_readiness(lambda: obstacle() is None)
    metrics.follow_batches(lambda: engine.stuck_s)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    queues = [connect_redis(url, timeout_s=_TIMEOUT_S) for url in settings.queue_url_list]
    async with _endpoint(settings, obstacle, metrics):
        try:
            await engine.start()
            heartbeat = Heartbeat(
                worker_id=secrets.token_hex(8),
                fingerprint=fingerprint,
                providers=(await engine.status()).providers,
                slots=max(1, slots // len(queues)),
                pid=os.getpid(),
                version=version("coreface"),
                key_mark=sealer.blind(KEY_MARK),
            )
            metrics.describe(version=heartbeat.version, pack=settings.pack, fingerprint=fingerprint)
            _log.info(
                "worker_started",
                version=heartbeat.version,
                pack=settings.pack,
                fingerprint=fingerprint,
                worker_id=heartbeat.worker_id,
                providers=heartbeat.providers,
                slots=heartbeat.slots,
            )
            consumers += [
                StreamWorker(redis, sealer, engine, heartbeat, timing=timing, metrics=metrics) for redis in queues
            ]
            hang_s = settings.limits.request_timeout_s + (timing or WorkerTiming()).hang_grace_s
            await _run_until(stopping.wait(), consumers, _end_when_stuck(engine, hang_s))
        finally:
            await engine.stop()
            for redis in queues:
                await redis.aclose()
            _log.info("worker_stopped")


@asynccontextmanager
async def _endpoint(
    settings: Settings, obstacle: Callable[[], str | None], metrics: WorkerMetrics
) -> AsyncIterator[None]:
    """Health and metrics of this process over HTTP, where the settings give them a port."""
    if settings.worker_port is None:
        yield
        return
    # Only here: a worker without an endpoint has no use for a web framework.
    from service.engine.worker_http import answering

    remedy = "Choose another COREFACE_WORKER_PORT."
    with open_listener(settings.host, settings.worker_port, who="The worker", remedy=remedy) as listener:
        async with answering(listener, obstacle, metrics):
            yield


async def _run_until(
    stop: Awaitable[object], consumers: Sequence[StreamWorker], watch: Coroutine[None, None, None]
) -> None:
    async def drain_after() -> None:
        await stop
        for consumer in consumers:
            consumer.drain()

    beside = [asyncio.create_task(drain_after()), asyncio.create_task(watch)]
    try:
        await asyncio.gather(*(consumer.run() for consumer in consumers))
    finally:
        await end_tasks(beside)


async def _end_when_stuck(engine: LocalEngine, longest_s: float) -> None:
    """A batch that nobody can be waiting for any more, and that does not end, ends this process: nothing else stops
    native code. What it held is done again by another worker, alone."""
    while True:
        await asyncio.sleep(_WATCH_INTERVAL_S)
        if engine.stuck_s > longest_s:
            _log.critical("worker_stuck", seconds=round(engine.stuck_s))
            os._exit(STUCK)
