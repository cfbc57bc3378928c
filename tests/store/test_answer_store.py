from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.errors import (
    IdempotencyKeyReusedError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateNotFoundError,
)
from service.kept_answers import KeptAnswer
from service.settings import Retention
from service.store import keys
from service.store.answer_store import RedisAnswerStore
from service.store.connection import connect_redis
from service.store.template_store import RedisTemplateStore
from service.types import DEFAULT_TENANT
from tests.servers import RunningServer
from tests.store.samples import KEY, PATIENT_S, digest_of, make_material, make_template

ANSWER = KeptAnswer(201, None, "/v1/templates/tpl-1", b'{"a secret": 1}')
REQUEST, OTHER_REQUEST = digest_of("request"), digest_of("another request")


@pytest.fixture
def store(redis: Redis) -> RedisAnswerStore:
    return RedisAnswerStore(redis, (KEY,), 100)


@pytest.fixture
async def templates(redis: Redis) -> RedisTemplateStore:
    store = RedisTemplateStore(redis, (KEY,), Retention())
    for number in (1, 2):
        await store.put(make_template(f"tpl-{number}"), f"set {number}", make_material("one"))
    return store


async def look(store: RedisAnswerStore, request: str = REQUEST, key: str = "key") -> KeptAnswer | None:
    async with store.claim_answer(key, request, PATIENT_S) as kept:
        return kept


async def keep(store: RedisAnswerStore, answer: KeptAnswer = ANSWER) -> KeptAnswer:
    async with store.claim_answer("key", REQUEST, PATIENT_S) as kept:
        assert kept is None
        return await store.put_answer("key", REQUEST, answer)


@pytest.mark.parametrize("answer", [ANSWER, KeptAnswer(422, "no_samples", None, b"")])
async def test_a_kept_answer_is_given_again(store: RedisAnswerStore, redis: Redis, answer: KeptAnswer) -> None:
    assert await keep(store, answer) is answer
    assert await look(store) == answer
    (name,) = await redis.keys("*")
    assert 40 < await redis.ttl(name) <= 100
    assert await look(RedisAnswerStore(redis, (bytes(32), KEY), 100)) is None, "under another key it has another name"


async def test_the_key_of_another_request_is_refused_from_the_first_moment(store: RedisAnswerStore) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        with pytest.raises(IdempotencyKeyReusedError):
            await look(store, OTHER_REQUEST)
        await store.put_answer("key", REQUEST, ANSWER)
    with pytest.raises(IdempotencyKeyReusedError):
        await look(store, OTHER_REQUEST)
    assert await look(store) == ANSWER


async def test_an_answer_that_is_worked_on_is_waited_for(store: RedisAnswerStore, redis: Redis) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        (name,) = await redis.keys("*")
        assert 0 < await redis.pttl(name) <= 3000
        waiting = asyncio.create_task(look(RedisAnswerStore(redis, (KEY,), 100)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await store.put_answer("key", REQUEST, ANSWER)
        assert await waiting == ANSWER


async def test_without_an_answer_the_next_one_works(store: RedisAnswerStore, redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.claim_answer("key", REQUEST, PATIENT_S):
            raise ZeroDivisionError
    assert not await redis.keys("*")
    assert await look(store) is None


async def test_the_claim_of_a_dead_process_runs_out(store: RedisAnswerStore, redis: Redis) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        (name,) = await redis.keys("*")
        value = await redis.get(name)
        await redis.set(name, value + b"of the dead", px=200)
        assert await look(store) is None


async def test_the_first_answer_stays(store: RedisAnswerStore, redis: Redis) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        await redis.delete(*await redis.keys("*"))  # the process stood still for too long
        await keep(RedisAnswerStore(redis, (KEY,), 100))
        assert await store.put_answer("key", REQUEST, replace(ANSWER, body=b"second")) == ANSWER
    with pytest.raises(IdempotencyKeyReusedError):
        await store.put_answer("key", OTHER_REQUEST, ANSWER)


async def test_the_claim_of_another_gives_way_to_an_answer(store: RedisAnswerStore, redis: Redis) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        await redis.delete(*await redis.keys("*"))
        async with store.claim_answer("key", REQUEST, PATIENT_S):
            await store.put_answer("key", REQUEST, ANSWER)
            assert await look(store) == ANSWER


async def test_an_answer_goes_with_each_template_that_it_tells_of(
    store: RedisAnswerStore, templates: RedisTemplateStore, redis: Redis
) -> None:
    answer = replace(ANSWER, template_ids=("tpl-1", "tpl-2"))
    await keep(store, answer)
    assert await look(store) == answer
    before = await redis.hgetall(keys.template_key(DEFAULT_TENANT, "tpl-2"))
    await templates.erase("tpl-2")
    for _ in range(2):
        with pytest.raises(TemplateErasedError):
            await look(store)
    await redis.hset(keys.template_key(DEFAULT_TENANT, "tpl-2"), mapping={**before, b"key": b"another key"})
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await look(store)
    await redis.delete(keys.template_key(DEFAULT_TENANT, "tpl-2"))
    with pytest.raises(TemplateNotFoundError):
        await look(store)


async def test_an_answer_about_a_template_that_was_erased_meanwhile_is_not_given_again(
    store: RedisAnswerStore, templates: RedisTemplateStore
) -> None:
    async with store.claim_answer("key", REQUEST, PATIENT_S):
        await templates.erase("tpl-1")
        await store.put_answer("key", REQUEST, replace(ANSWER, template_ids=("tpl-1",)))
    with pytest.raises(TemplateErasedError):
        await look(store)


async def test_the_server_sees_neither_keys_nor_requests_nor_answers(store: RedisAnswerStore, redis: Redis) -> None:
    async with store.claim_answer("key of anna", REQUEST, PATIENT_S):
        (name,) = await redis.keys("*")
        claim = await redis.get(name)
        await store.put_answer("key of anna", REQUEST, ANSWER)
    seen = name + claim + await redis.get(name)
    for secret in (b"anna", b"a secret", b"tpl-1", REQUEST.encode(), bytes.fromhex(REQUEST)):
        assert secret not in seen


async def test_an_altered_or_moved_answer_is_not_given(store: RedisAnswerStore, redis: Redis) -> None:
    await keep(store)
    (name,) = await redis.keys("*")
    record = await redis.get(name)
    async with store.claim_answer("other", REQUEST, PATIENT_S):
        (other,) = set(await redis.keys("*")) - {name}
    await redis.set(other, record)
    with pytest.raises(StoreUnavailableError):
        await look(store, key="other")
    await redis.set(name, record[:-1])
    with pytest.raises(StoreUnavailableError):
        await look(store)


async def test_a_server_that_is_gone_is_unavailable(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    redis = connect_redis(server.url, timeout_s=0.5)
    store = RedisAnswerStore(redis, (KEY,), 100)
    server.kill()
    with pytest.raises(StoreUnavailableError):
        await look(store)
    with pytest.raises(StoreUnavailableError):
        await store.put_answer("key", REQUEST, ANSWER)
    with pytest.raises(StoreUnavailableError):
        await store.put_answer("key", REQUEST, replace(ANSWER, template_ids=("tpl-1",)))
    await redis.aclose()
