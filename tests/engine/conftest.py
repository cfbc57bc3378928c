"""Engines to test: local, and remote over a real server, with the same fake processor behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from service.engine.consumer import StreamWorker, WorkerTiming
from service.engine.heartbeats import Heartbeat
from service.engine.local import LocalEngine
from service.engine.remote import RemoteEngine
from service.pipeline.stages import BatchObserver, unobserved
from service.protocols import TemplateEngine
from service.store.connection import connect_redis
from service.store.sealing import PayloadSealer, SealingPurpose
from tests.engine.fakes import FINGERPRINT, PROVIDER, FakeProcessor
from tests.engine.polling import until
from tests.servers import RunningServer, ServerKind

KEY = bytes(range(32))
PATIENT_S = 10.0
QUICK = WorkerTiming(beat_interval_s=0.1, abandoned_after_s=5.0, block_s=0.05)


@dataclass(frozen=True, slots=True)
class EngineUnderTest:
    engine: TemplateEngine
    processor: FakeProcessor


def make_sealer(key: bytes = KEY) -> PayloadSealer:
    return PayloadSealer((key,), SealingPurpose.ENGINE)


def make_heartbeat(
    worker_id: str = "w", slots: int = 8, fingerprint: str = FINGERPRINT, provider: str = PROVIDER
) -> Heartbeat:
    return Heartbeat(worker_id, fingerprint, (provider,), slots, 1234, "0.0.0")


def make_local(
    processor: FakeProcessor,
    *,
    max_batch_sets: int = 4,
    max_waiting_sets: int = 64,
    observe: BatchObserver = unobserved,
) -> LocalEngine:
    return LocalEngine(
        lambda: (processor, PROVIDER),
        FINGERPRINT,
        max_batch_sets=max_batch_sets,
        max_waiting_sets=max_waiting_sets,
        device_threads=1,
        decode_threads=1,
        observe=observe,
    )


@asynccontextmanager
async def running_worker(
    redis: Redis,
    processor: FakeProcessor,
    *,
    worker_id: str = "worker-1",
    sealer: PayloadSealer | None = None,
    timing: WorkerTiming = QUICK,
    slots: int = 8,
    observe: BatchObserver = unobserved,
) -> AsyncIterator[StreamWorker]:
    """A worker inside this event loop; drained at the end."""
    engine = make_local(processor, observe=observe)
    await engine.start()
    worker = StreamWorker(redis, sealer or make_sealer(), engine, make_heartbeat(worker_id, slots), timing=timing)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        await task
        await engine.stop()


@asynccontextmanager
async def running_remote(
    *queues: Redis,
    max_waiting_sets: int = 64,
    send_timeout_s: float = PATIENT_S,
    sealer: PayloadSealer | None = None,
) -> AsyncIterator[RemoteEngine]:
    """Patient by default: a loaded machine is no fault of the engine's."""
    engine = RemoteEngine(
        queues, sealer or make_sealer(), FINGERPRINT, max_waiting_sets=max_waiting_sets, send_timeout_s=send_timeout_s
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def until_ready(engine: TemplateEngine) -> None:
    async def ready() -> bool:
        return (await engine.status()).ready

    await until(ready)


@asynccontextmanager
async def running_pair(url: str, *, max_waiting_sets: int = 64) -> AsyncIterator[EngineUnderTest]:
    """A remote engine with one worker."""
    redis = connect_redis(url, timeout_s=PATIENT_S)
    processor = FakeProcessor()
    try:
        async with (
            running_worker(redis, processor),
            running_remote(redis, max_waiting_sets=max_waiting_sets) as engine,
        ):
            await until_ready(engine)
            yield EngineUnderTest(engine, processor)
    finally:
        await redis.aclose()


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(valkey_url, timeout_s=PATIENT_S)
    yield client
    await client.aclose()


@pytest.fixture(params=["local", "remote-valkey", "remote-redis"])
async def under_test(
    request: pytest.FixtureRequest, _shared_servers: Callable[[ServerKind], RunningServer]
) -> AsyncIterator[EngineUnderTest]:
    """Each engine, started, with at most 8 sets waiting."""
    if request.param == "local":
        processor = FakeProcessor()
        engine = make_local(processor, max_waiting_sets=8)
        await engine.start()
        yield EngineUnderTest(engine, processor)
        await engine.stop()
    else:
        kind = ServerKind(request.param.removeprefix("remote-"))
        async with running_pair(_shared_servers(kind).url, max_waiting_sets=8) as pair:
            yield pair
