"""The template store over servers that are full, read-only, gone or that evict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.errors import StoreUnavailableError, TemplateErasedError
from service.store.connection import connect_redis
from service.store.template_store import RedisTemplateStore
from service.types import FacePolicy
from tests.servers import RunningServer, ServerKind
from tests.store.samples import FINGERPRINT, MATERIAL, PATIENT_S, claim, make_embedded, make_store, make_template


async def test_a_healthy_server_is_fit_and_says_how_it_is(store: RedisTemplateStore) -> None:
    condition = await store.ping()
    assert condition.used_bytes > 0
    assert condition.limit_bytes is None
    assert condition.saves
    assert 0 < condition.latency_s < PATIENT_S
    assert abs(condition.clock_skew_s) < 1.0


async def test_who_has_another_sealing_key_is_noticed(make_server: Callable[..., RunningServer]) -> None:
    redis = connect_redis(
        make_server("--maxmemory", "100mb", "--maxmemory-policy", "noeviction").url, timeout_s=PATIENT_S
    )
    old, new = bytes([1] * 32), bytes([2] * 32)
    first = await make_store(redis, (old,)).ping()
    assert (first.same_key, first.limit_bytes) == (None, 100 * 2**20)
    assert (await make_store(redis, (old,)).ping()).same_key is True
    assert (await make_store(redis, (new,)).ping()).same_key is False
    # One whose ring holds both opens what either sealed.
    assert (await make_store(redis, (new, old)).ping()).same_key is True
    await redis.aclose()


@pytest.mark.parametrize("kind", list(ServerKind), ids=str)
class TestUnfitServers:
    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
    async def test_eviction_is_named(
        self, kind: ServerKind, policy: str, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server("--maxmemory", "100mb", "--maxmemory-policy", policy, kind=kind)
        redis = connect_redis(server.url, timeout_s=PATIENT_S)
        with pytest.raises(StoreUnavailableError, match=policy):
            await make_store(redis).ping()
        await redis.config_set("maxmemory-policy", "noeviction")
        await make_store(redis).ping()
        await redis.aclose()

    async def test_a_full_server_refuses_and_still_erases(
        self, kind: ServerKind, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server("--maxmemory-policy", "noeviction", kind=kind)
        redis = connect_redis(server.url, timeout_s=PATIENT_S)
        store = make_store(redis)
        await store.put(make_template("tpl-1"), "one", MATERIAL)
        await redis.config_set("maxmemory", "1mb")
        with pytest.raises(StoreUnavailableError, match="full"):
            await store.ping()
        with pytest.raises(StoreUnavailableError, match="full"):
            await store.put(make_template("tpl-2"), "two", MATERIAL)
        with pytest.raises(StoreUnavailableError, match="full"):
            await store.put_embeddings([make_embedded("a")], FINGERPRINT, FacePolicy.LARGEST)
        assert (await store.get("tpl-1")).template_id == "tpl-1"
        await store.erase("tpl-1")
        with pytest.raises(TemplateErasedError):
            await store.get("tpl-1")
        await redis.aclose()

    async def test_a_read_only_replica_is_refused(
        self, kind: ServerKind, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server("--replicaof", "127.0.0.1 1", kind=kind)
        redis = connect_redis(server.url, timeout_s=PATIENT_S)
        store = make_store(redis)
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await store.ping()
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await store.put(make_template(), "set", MATERIAL)
        await redis.aclose()

    async def test_a_server_that_is_gone_or_hangs_is_unavailable_and_recovers(
        self, kind: ServerKind, make_server: Callable[..., RunningServer]
    ) -> None:
        server = make_server("--appendonly", "yes", "--appendfsync", "always", kind=kind)
        redis = connect_redis(server.url, timeout_s=0.5)
        store = make_store(redis)
        await store.put(make_template(), "set", MATERIAL)
        calls = (
            lambda: store.ping(),
            lambda: store.get("tpl-1"),
            lambda: store.get_material("tpl-1"),
            lambda: store.list_subject("anna"),
            lambda: store.find_by_set("set"),
            lambda: claim(store, "set"),
            lambda: store.put(make_template("tpl-2"), "set", MATERIAL),
            lambda: store.erase("tpl-1"),
            lambda: store.get_embeddings(["a"], FINGERPRINT, FacePolicy.LARGEST),
            lambda: store.put_embeddings([make_embedded("a")], FINGERPRINT, FacePolicy.LARGEST),
        )
        server.pause()
        for answer in await asyncio.gather(*(call() for call in calls), return_exceptions=True):
            assert isinstance(answer, StoreUnavailableError)
        server.kill()
        for answer in await asyncio.gather(*(call() for call in calls), return_exceptions=True):
            assert isinstance(answer, StoreUnavailableError)
        server.start()
        # The paused server may have carried out the erasure and the second put before it was killed.
        found = await store.find_by_set("set")
        assert found is None or found.template_id in ("tpl-1", "tpl-2")
        await store.ping()
        assert (await store.put(make_template("tpl-3"), "another set", MATERIAL)).template_id == "tpl-3"
        await redis.aclose()


async def test_a_full_server_still_answers_what_it_keeps(make_server: Callable[..., RunningServer]) -> None:
    server = make_server("--maxmemory-policy", "noeviction")
    redis = connect_redis(server.url, timeout_s=PATIENT_S)
    store = make_store(redis)
    await store.put(make_template(), "set", MATERIAL)
    await redis.config_set("maxmemory", "1mb")
    assert await claim(store, "set") is not None
    with pytest.raises(StoreUnavailableError, match="full"):
        await claim(store, "another set")
    await redis.aclose()
