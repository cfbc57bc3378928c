"""The worker process: a pack, a local engine around it, and the stream that feeds it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from service.assembly import build_set_processor
from service.engine.background import end_tasks
from service.engine.consumer import StreamWorker, WorkerTiming
from service.engine.heartbeats import Heartbeat
from service.engine.local import LocalEngine, SetProcessor
from service.errors import SetupError
from service.http_listening import open_listener
from service.observability.worker_metrics import WorkerMetrics
from service.runtime.pack import load_pack
from service.settings import Settings
from service.store.connection import connect_redis
from service.store.sealing import PayloadSealer, SealingPurpose, load_key_ring

_TIMEOUT_S = 2.0
"""A worker has nobody waiting on its connection: a slow server is better than a retry."""


async def run_worker(settings: Settings) -> None:
    """Serve jobs of the settings' pack until SIGTERM or SIGINT; then finish what was taken, and return.

    Raises `SetupError` and its kin where it cannot start: no Redis URL, no valid pack, no such device, a taken port.
    """
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    await serve_jobs(settings, pack.fingerprint, lambda: build_set_processor(pack, settings))


async def serve_jobs(
    settings: Settings,
    fingerprint: str,
    build_processor: Callable[[], tuple[SetProcessor, str]],
    timing: WorkerTiming | None = None,
) -> None:
    """`run_worker` for any processor."""
    if settings.redis_url is None:
        raise SetupError("A worker needs COREFACE_REDIS_URL; `coreface serve` starts a store and workers by itself.")
    # Twice the batch: while one batch is with the model, the next is fetched and unsealed.
    slots = min(2 * settings.max_batch_sets, settings.limits.max_waiting_sets)
    sealer = PayloadSealer(load_key_ring(settings), SealingPurpose.ENGINE)
    engine = LocalEngine(build_processor, fingerprint, max_batch_sets=settings.max_batch_sets, max_waiting_sets=slots)
    metrics = WorkerMetrics()
    worker: StreamWorker | None = None

    def obstacle() -> str | None:
        return "The model is being loaded." if worker is None else worker.obstacle

    metrics.follow_readiness(lambda: obstacle() is None)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    redis = connect_redis(settings.redis_url.get_secret_value(), timeout_s=_TIMEOUT_S)
    async with _endpoint(settings, obstacle, metrics):
        try:
            await engine.start()
            heartbeat = Heartbeat(
                worker_id=secrets.token_hex(8),
                fingerprint=fingerprint,
                providers=(await engine.status()).providers,
                pid=os.getpid(),
                version=version("coreface"),
            )
            worker = StreamWorker(redis, sealer, engine, heartbeat, slots=slots, timing=timing, metrics=metrics)
            await _run_until(stopping.wait(), worker)
        finally:
            await engine.stop()
            await redis.aclose()


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


async def _run_until(stop: Awaitable[object], worker: StreamWorker) -> None:
    async def drain_after() -> None:
        await stop
        worker.drain()

    watcher = asyncio.create_task(drain_after())
    try:
        await worker.run()
    finally:
        await end_tasks([watcher])
