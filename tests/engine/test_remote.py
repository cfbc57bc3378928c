"""What only the engine over streams can get wrong. Its contract is in `test_contract.py`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.engine import queue_lane, remote
from service.engine.codec import seal_reply
from service.engine.heartbeats import KEY_MARK, beat, find_workers, retire
from service.engine.remote import RemoteEngine
from service.engine.streams import StreamEntry, read_new, server_now_ms
from service.errors import (
    DeadlineExceededError,
    InferenceFailedError,
    NotReadyError,
    OverloadedError,
    StoreUnavailableError,
)
from service.observability.trace_context import bound_trace, current_traceparent
from service.store import keys
from service.store.connection import connect_redis
from service.types import SetRequest, SetResult
from tests.engine.conftest import (
    PATIENT_S,
    make_heartbeat,
    make_sealer,
    running_pair,
    running_remote,
    running_worker,
    until_ready,
)
from tests.engine.fakes import FINGERPRINT, PROVIDER, FakeProcessor, make_request
from tests.engine.polling import until
from tests.servers import RunningServer

JOBS = keys.job_stream_key(FINGERPRINT)


async def _until_empty(redis: Redis, stream: str) -> None:
    async def empty() -> bool:
        return await redis.xlen(stream) == 0

    await until(empty)


async def _until_not_ready(engine: RemoteEngine) -> None:
    async def not_ready() -> bool:
        return not (await engine.status()).ready

    await until(not_ready)


async def test_without_a_worker_nothing_is_sent(redis: Redis) -> None:
    async with running_remote(redis) as engine:
        with pytest.raises(NotReadyError, match="coreface worker"):
            await engine.create(make_request("face"))
        status = await engine.status()
        assert (status.ready, status.workers) == (False, 0)
    assert not await redis.exists(JOBS)


async def test_a_worker_that_appears_is_used_at_once(redis: Redis) -> None:
    async with running_remote(redis) as engine:
        with pytest.raises(NotReadyError):
            await engine.create(make_request("face"))
        async with running_worker(redis, FakeProcessor()):
            await until_ready(engine)
            assert (await engine.create(make_request("face"))).aggregation is not None
        await _until_not_ready(engine)


async def test_the_status_covers_every_living_worker_and_forgets_dead_ones(redis: Redis) -> None:
    await beat(redis, make_heartbeat("one", provider="CUDAExecutionProvider"), 60)
    await beat(redis, make_heartbeat("two", provider="CPUExecutionProvider"), 60)
    await beat(redis, make_heartbeat("dead", provider="CPUExecutionProvider"), 0.001)
    await beat(redis, make_heartbeat("three", fingerprint="another pack"), 60)
    await redis.sadd(keys.worker_set_key(FINGERPRINT), "garbled")
    await redis.set(keys.worker_key(FINGERPRINT, "garbled"), b"{")
    await asyncio.sleep(0.01)
    async with running_remote(redis) as engine:
        status = await engine.status()
    assert (status.ready, status.workers) == (True, 2)
    assert status.providers == ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert {worker.worker_id for worker in await find_workers(redis, FINGERPRINT)} == {"one", "two"}
    assert await redis.scard(keys.worker_set_key(FINGERPRINT)) == 2


async def test_nothing_is_left_in_the_server(valkey_url: str, redis: Redis) -> None:
    async with running_pair(valkey_url) as pair:
        await asyncio.gather(*(pair.engine.create(make_request(f"face {n}")) for n in range(30)))
        assert await redis.xlen(JOBS) == 0
        assert (await redis.xpending(JOBS, keys.WORKER_GROUP))["pending"] == 0
    assert set(await redis.keys("*")) == {JOBS.encode()}
    assert await redis.xlen(JOBS) == 0


async def test_images_never_lie_readable_in_the_server(redis: Redis) -> None:
    await beat(redis, make_heartbeat(), 60)
    secret = "face " + os.urandom(32).hex()
    async with running_remote(redis) as engine:
        task = asyncio.create_task(engine.create(make_request(secret)))
        await until(lambda: redis.xlen(JOBS))
        for name in await redis.keys("*"):
            assert secret.encode() not in (await redis.dump(name) or b"")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_work_that_nobody_waits_for_is_taken_back(redis: Redis) -> None:
    await beat(redis, make_heartbeat(), 60)
    async with running_remote(redis) as engine:
        with pytest.raises(DeadlineExceededError):
            await engine.create(make_request("face", timeout_s=0.2))
        gone = asyncio.create_task(engine.create(make_request("face")))
        await asyncio.sleep(0.2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await _until_empty(redis, JOBS)


async def test_a_job_past_its_budget_is_dropped_unseen(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_lane.QueueLane, "withdraw_soon", lambda *_args: None)
    await beat(redis, make_heartbeat(), 60)
    processor = FakeProcessor()
    async with running_remote(redis) as engine:
        with pytest.raises(DeadlineExceededError):
            await engine.create(make_request("face", timeout_s=1.5))
        ((entry_id, _),) = await redis.xrange(JOBS)

        async def past_its_budget() -> bool:
            return await server_now_ms(redis) > StreamEntry(entry_id, {}).written_ms + 1500

        await until(past_its_budget)
        async with running_worker(redis, processor):
            await _until_empty(redis, JOBS)
    assert processor.batches == []


async def test_an_entry_that_is_no_job_is_thrown_away(redis: Redis, valkey_url: str) -> None:
    async with running_pair(valkey_url) as pair:
        await redis.xadd(JOBS, {"what": "ever"})
        assert (await pair.engine.create(make_request("face"))).aggregation is not None
        await _until_empty(redis, JOBS)


async def test_a_large_set_travels(valkey_url: str) -> None:
    async with running_pair(valkey_url) as pair:
        texts = [f"face {part} " + "x" * 5_000_000 for part in range(4)]
        assert (await pair.engine.create(make_request(*texts))).aggregation is not None


async def test_bytes_in_flight_are_bounded(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MAX_BYTES", 100_000)
    await beat(redis, make_heartbeat(), 60)
    async with running_remote(redis) as engine:
        first = asyncio.create_task(engine.create(make_request("x" * 200_000)))
        await asyncio.sleep(0.1)
        with pytest.raises(OverloadedError):
            await engine.create(make_request("face"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_processes_with_different_keys_find_out(redis: Redis) -> None:
    async with (
        running_worker(redis, FakeProcessor(), sealer=make_sealer(bytes(32))),
        running_remote(redis) as engine,
    ):
        await until_ready(engine)
        with pytest.raises(InferenceFailedError, match="sealing key"):
            await engine.create(make_request("face"))


async def test_only_the_answer_to_this_very_request_is_taken(redis: Redis) -> None:
    """A worker that answers for the wrong set, twice, or to nobody."""
    sealer = make_sealer()
    await beat(redis, make_heartbeat(), 60)
    await redis.xgroup_create(JOBS, keys.WORKER_GROUP, id="0", mkstream=True)
    async with running_remote(redis) as engine:
        request, other = make_request("face 1", request_id="r1"), make_request("face 2", request_id="r2")
        task = asyncio.create_task(engine.create(request))
        entries: list[StreamEntry] = []
        while not entries:
            entries = await read_new(redis, JOBS, "w", count=1, block_s=1)
        replies = entries[0].fields[b"r"].decode()
        wrong = FakeProcessor().work([make_request("face 2", request_id="r1")])[0]
        unasked = FakeProcessor().work([other])[0]
        assert isinstance(wrong, SetResult)
        await redis.xadd(replies, {"i": "r2", "p": seal_reply("r2", unasked, FINGERPRINT, sealer)})
        await redis.xadd(replies, {"odd": "entry"})
        await redis.xadd(replies, {"i": b"\xff", "p": b""})
        await redis.xadd(replies, {"i": "r1", "p": seal_reply("r1", wrong, FINGERPRINT, sealer)})
        await redis.xadd(replies, {"i": "r1", "p": seal_reply("r1", wrong, FINGERPRINT, sealer)})
        with pytest.raises(InferenceFailedError, match="another set"):
            await task
        await _until_empty(redis, replies)


async def test_time_on_the_way_counts_as_queue_time(redis: Redis, tmp_path: Path) -> None:
    await beat(redis, make_heartbeat(), 60)
    async with running_remote(redis) as engine:
        task = asyncio.create_task(engine.create(make_request("face")))
        await asyncio.sleep(0.3)
        async with running_worker(redis, FakeProcessor()):
            assert (await task).stage_seconds["queue"] >= 0.1


async def test_the_server_tells_the_time(redis: Redis) -> None:
    first = await server_now_ms(redis)
    entry_id = await redis.xadd("stream", {"a": "b"})
    assert isinstance(entry_id, bytes)
    assert first <= int(entry_id.split(b"-")[0]) <= await server_now_ms(redis)


class TestServerLoss:
    async def test_a_server_that_is_gone_is_named_and_its_return_is_noticed(
        self, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server("--appendonly", "yes", "--appendfsync", "always")
        async with running_pair(server.url) as pair:
            await pair.engine.create(make_request("face"))
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await pair.engine.create(make_request("face"))
            status = await pair.engine.status()
            assert not status.ready
            assert "does not answer" in status.detail
            server.start()
            await until_ready(pair.engine)
            assert (await pair.engine.create(make_request("face"))).aggregation is not None

    async def test_a_server_that_comes_back_empty_is_no_obstacle(
        self, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server()
        async with running_pair(server.url) as pair:
            await pair.engine.create(make_request("face"))
            server.kill()
            await asyncio.sleep(0.3)
            server.start()
            await until_ready(pair.engine)
            for number in range(5):
                assert (await pair.engine.create(make_request(f"face {number}"))).aggregation is not None

    async def test_a_short_loss_while_a_worker_computes_costs_nothing(
        self, make_server: Callable[..., RunningServer], tmp_path: Path
    ) -> None:
        server = make_server("--appendonly", "yes", "--appendfsync", "always")
        async with running_pair(server.url) as pair:
            task = asyncio.create_task(pair.engine.create(make_request(f"wait:{tmp_path / 'gate'}")))
            await until(lambda: pair.processor.batches)
            server.kill()
            server.start()
            (tmp_path / "gate").touch()
            assert (await task).aggregation is not None

    async def test_those_who_wait_are_told_when_the_server_stays_away(
        self, make_server: Callable[..., RunningServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queue_lane, "_REPLY_GRACE_S", 0.2)
        server = make_server()
        async with running_pair(server.url) as pair:
            task = asyncio.create_task(pair.engine.create(make_request(f"wait:{tmp_path / 'gate'}")))
            await until(lambda: pair.processor.batches)
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await task
            (tmp_path / "gate").touch()
            server.start()

    async def test_a_hung_server_is_unavailable_rather_than_waited_for(
        self, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server()
        redis = connect_redis(server.url)
        await beat(redis, make_heartbeat(), 600)
        async with running_remote(redis, send_timeout_s=0.25) as engine:
            await until_ready(engine)
            server.pause()
            with pytest.raises(StoreUnavailableError):
                await engine.create(make_request("face"))
            server.resume()
            await until_ready(engine)
        await redis.aclose()

    async def test_a_full_server_is_unavailable(self, make_server: Callable[..., RunningServer]) -> None:
        server = make_server()
        redis = connect_redis(server.url, timeout_s=PATIENT_S)
        await beat(redis, make_heartbeat(), 600)
        async with running_remote(redis) as engine:
            await redis.config_set("maxmemory", "1mb")
            with pytest.raises(StoreUnavailableError):
                await engine.create(make_request("face"))
        await redis.aclose()


class TestSeveralQueues:
    """Sets travel over more than one server."""

    async def test_sets_are_spread_and_come_back(self, make_server: Callable[..., RunningServer]) -> None:
        clients = [connect_redis(make_server().url, timeout_s=PATIENT_S) for _ in range(2)]
        processors = [FakeProcessor(), FakeProcessor()]
        async with (
            running_worker(clients[0], processors[0]),
            running_worker(clients[1], processors[1]),
            running_remote(*clients) as engine,
        ):
            await until_ready(engine)
            assert (await engine.status()).workers == 2
            await asyncio.gather(*(engine.create(make_request(f"face {number}")) for number in range(20)))
        assert all(processor.batches for processor in processors)
        for client in clients:
            await client.aclose()

    async def test_one_that_is_gone_is_gone_around(self, make_server: Callable[..., RunningServer]) -> None:
        servers = [make_server(), make_server()]
        clients = [connect_redis(server.url, timeout_s=PATIENT_S) for server in servers]
        async with running_worker(clients[1], FakeProcessor()), running_remote(*clients) as engine:
            await beat(clients[0], make_heartbeat(), 600)
            await until_ready(engine)
            servers[0].kill()
            for number in range(5):
                assert (await engine.create(make_request(f"face {number}"))).aggregation is not None
            status = await engine.status()
            assert (status.ready, status.workers) == (True, 1)
            assert "1 of 2 queue server(s)" in status.detail
        for client in clients:
            await client.aclose()


async def test_workers_say_what_they_are_and_whether_they_have_the_same_key(valkey_url: str) -> None:
    redis = connect_redis(valkey_url, timeout_s=PATIENT_S)
    marks = {"ours": make_sealer().blind(KEY_MARK), "theirs": make_sealer(bytes(32)).blind(KEY_MARK), "silent": ""}
    for worker_id, mark in marks.items():
        await beat(redis, replace(make_heartbeat(worker_id, slots=3), key_mark=mark), 600)
    async with running_remote(redis) as engine:
        members = (await engine.status()).members
    for worker_id in marks:
        await retire(redis, make_heartbeat(worker_id))
    await redis.aclose()
    assert {member.worker_id: member.same_key for member in members} == {"ours": True, "theirs": False, "silent": None}
    assert {(member.version, member.providers, member.slots) for member in members} == {("0.0.0", (PROVIDER,), 3)}


async def test_the_age_of_the_oldest_set_is_told(valkey_url: str, tmp_path: Path) -> None:
    async with running_pair(valkey_url) as pair:
        assert (await pair.engine.status()).oldest_s == 0.0
        task = asyncio.create_task(pair.engine.create(make_request(f"wait:{tmp_path / 'open'}")))
        await until(lambda: pair.processor.batches)
        status = await pair.engine.status()
        assert (status.sets_waiting, status.sets_in_flight) == (0, 1)
        assert status.oldest_s > 0.0
        (tmp_path / "open").touch()
        await task
        assert (await pair.engine.status()).oldest_s == 0.0


async def test_the_trace_of_the_request_is_the_trace_of_the_worker(valkey_url: str) -> None:
    class Tracing(FakeProcessor):
        async def process(self, request: SetRequest, deadline: float) -> SetResult:
            seen.append(current_traceparent())
            return await super().process(request, deadline)

    seen: list[str] = []
    asked = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"
    redis = connect_redis(valkey_url, timeout_s=PATIENT_S)
    async with running_worker(redis, Tracing()), running_remote(redis) as engine:
        await until_ready(engine)
        with bound_trace(asked):
            await engine.create(make_request("face"))
    await redis.aclose()
    assert seen == [asked]
