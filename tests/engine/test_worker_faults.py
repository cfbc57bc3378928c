"""Real worker processes that are killed, poisoned, drained and cut off."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from service.engine.consumer import WorkerTiming
from service.engine.heartbeats import find_workers
from service.engine.remote import RemoteEngine
from service.errors import SetQuarantinedError
from service.store import keys
from service.store.connection import connect_redis
from service.types import EmbeddedSample
from tests.engine.conftest import KEY, PATIENT_S, running_remote, running_worker, until_ready
from tests.engine.fakes import FINGERPRINT, FakeProcessor, embed, make_request
from tests.engine.polling import until
from tests.servers import RunningServer

JOBS = keys.job_stream_key(FINGERPRINT)
PLENTY_S = 60.0


class Workers:
    """Worker processes of one server."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self._env = {
            **os.environ,
            "COREFACE_REDIS_URL": url,
            "COREFACE_SEALING_KEY": base64.b64encode(KEY).decode(),
            "COREFACE_STATE_DIR": str(state_dir),
            "COREFACE_MAX_BATCH_SETS": "4",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "tests.engine.fake_worker"], env=self._env)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def workers(valkey_url: str, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(valkey_url, tmp_path)
    yield started
    started.stop()


@pytest.fixture
async def engine(redis: Redis) -> AsyncIterator[RemoteEngine]:
    async with running_remote(redis) as remote:
        yield remote


async def _until_workers(redis: Redis, count: int) -> None:
    async def as_many() -> bool:
        return len(await find_workers(redis, FINGERPRINT)) == count

    await until(as_many)


async def _until_taken(redis: Redis) -> None:
    """Return when a worker holds a job."""

    async def taken() -> bool:
        return bool((await redis.xpending(JOBS, keys.WORKER_GROUP))["pending"])

    await until(taken)


@asynccontextmanager
async def _restarting(workers: Workers) -> AsyncIterator[None]:
    """Start a new worker whenever one has died, as the supervisor does."""

    async def watch() -> None:
        while True:
            if all(process.poll() is not None for process in workers.processes):
                workers.start()
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


async def test_a_worker_killed_in_the_middle_of_a_job_loses_nothing(
    redis: Redis, engine: RemoteEngine, workers: Workers, tmp_path: Path
) -> None:
    victim = workers.start()
    await _until_workers(redis, 1)
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    request = make_request(f"wait:{gate}", f"note:{notes}")
    task = asyncio.create_task(engine.create(request))
    await _until_taken(redis)
    victim.kill()
    gate.touch()
    workers.start()
    result = await task
    for outcome in result.outcomes:
        assert isinstance(outcome, EmbeddedSample)
        np.testing.assert_array_equal(outcome.embedding.vector, embed(outcome.digest).embedding.vector)
    # Once by the second worker alone: the first one never came to its second sample.
    assert notes.read_text() == "done\n"
    assert await redis.xlen(JOBS) == 0
    assert (await redis.xpending(JOBS, keys.WORKER_GROUP))["pending"] == 0


async def test_a_set_that_kills_its_worker_once_succeeds_the_second_time(
    redis: Redis, engine: RemoteEngine, workers: Workers, tmp_path: Path
) -> None:
    async with _restarting(workers):
        await _until_workers(redis, 1)
        result = await engine.create(make_request(f"kill-once:{tmp_path / 'marker'}"))
        assert result.aggregation is not None
    assert len(workers.processes) == 2


async def test_a_set_that_kills_workers_is_quarantined_and_its_neighbours_succeed(
    redis: Redis, engine: RemoteEngine, workers: Workers
) -> None:
    poison = make_request("kill", "face")
    async with _restarting(workers):
        await _until_workers(redis, 1)
        tasks = [asyncio.create_task(engine.create(make_request(f"face {n}"))) for n in range(3)]
        tasks.append(asyncio.create_task(engine.create(poison)))
        tasks += [asyncio.create_task(engine.create(make_request(f"face {n}"))) for n in range(3, 6)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers.pop(3), SetQuarantinedError)
        for answer in answers:
            assert not isinstance(answer, BaseException), repr(answer)
        deaths = len(workers.processes) - 1
        assert deaths == 2
        # Sent again, it is refused without another death.
        with pytest.raises(SetQuarantinedError):
            await engine.create(make_request("kill", "face"))
        assert (await engine.create(make_request("face again"))).aggregation is not None
        assert len(workers.processes) - 1 == deaths


async def test_a_drained_worker_finishes_what_it_took_and_exits_with_0(
    redis: Redis, engine: RemoteEngine, workers: Workers, tmp_path: Path
) -> None:
    first = workers.start()
    await _until_workers(redis, 1)
    gate = tmp_path / "gate"
    task = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
    await _until_taken(redis)
    first.send_signal(signal.SIGTERM)
    await _until_workers(redis, 0)
    assert first.poll() is None
    # What comes while it drains goes to the next one.
    workers.start()
    await _until_workers(redis, 1)
    assert (await engine.create(make_request("face"))).aggregation is not None
    assert not task.done()
    gate.touch()
    assert (await task).aggregation is not None
    assert await asyncio.to_thread(first.wait, PLENTY_S) == 0


async def test_workers_survive_the_loss_of_the_server(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = make_server("--appendonly", "yes", "--appendfsync", "always")
    workers = Workers(server.url, tmp_path)
    redis = connect_redis(server.url, timeout_s=PATIENT_S)
    try:
        process = workers.start()
        async with running_remote(redis) as engine:
            await until_ready(engine)
            gate = tmp_path / "gate"
            task = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
            await _until_taken(redis)
            server.kill()
            await asyncio.sleep(0.5)
            server.start()
            gate.touch()
            assert (await task).aggregation is not None
            await until_ready(engine)
            assert (await engine.create(make_request("face"))).aggregation is not None
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PLENTY_S) == 0
    finally:
        workers.stop()
        await redis.aclose()


async def test_a_worker_that_cannot_reach_its_server_waits_for_it(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = make_server()
    server.kill()
    workers = Workers(server.url, tmp_path)
    redis = connect_redis(server.url, timeout_s=PATIENT_S)
    try:
        workers.start()
        await asyncio.sleep(1.0)
        server.start()
        await _until_workers(redis, 1)
    finally:
        workers.stop()
        await redis.aclose()


async def test_a_slow_job_of_a_living_worker_is_not_taken_over(
    redis: Redis, engine: RemoteEngine, tmp_path: Path
) -> None:
    timing = WorkerTiming(beat_interval_s=0.05, abandoned_after_s=1.0, block_s=0.05)
    slow, idle = FakeProcessor(), FakeProcessor()
    gate = tmp_path / "gate"
    async with running_worker(redis, slow, worker_id="slow", timing=timing):
        await until_ready(engine)
        task = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
        await until(lambda: slow.batches)
        async with running_worker(redis, idle, worker_id="idle", timing=timing):
            await asyncio.sleep(2.5)
            gate.touch()
            await task
    assert idle.batches == []


async def test_kills_at_random_moments_swap_and_lose_nothing(
    redis: Redis, engine: RemoteEngine, workers: Workers, tmp_path: Path
) -> None:
    """Two workers, one of which is killed again and again while sets go through."""
    workers.start()
    workers.start()
    await _until_workers(redis, 2)

    async def one(number: int) -> bool:
        request = make_request(f"face {number}", f"face {number} too")
        try:
            result = await engine.create(request)
        except SetQuarantinedError:
            return False  # it was with a killed worker twice: what the rule says
        assert [outcome.digest for outcome in result.outcomes] == sorted(s.digest for s in request.samples)
        for outcome in result.outcomes:
            assert isinstance(outcome, EmbeddedSample)
            np.testing.assert_array_equal(outcome.embedding.vector, embed(outcome.digest).embedding.vector)
        return True

    async def client(first: int) -> list[bool]:
        return [await one(number) for number in range(first, first + 40)]

    async def kill() -> None:
        for round_number in range(3):
            await asyncio.sleep(0.15)
            workers.processes[-1].kill()
            workers.start()
            await asyncio.sleep(0.05 * round_number)

    async with _restarting(workers):
        answered, _ = await asyncio.gather(asyncio.gather(*(client(100 * number) for number in range(8))), kill())
    assert sum(map(sum, answered)) >= 8 * 40 - 8
