from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.errors import StoreUnavailableError
from service.kept_answers import KeptAnswer
from service.settings import Retention
from service.store import keys
from service.store.answer_store import RedisAnswerStore
from service.store.api_key_store import RedisApiKeyStore
from service.store.rewrapping import Rewrapper
from service.store.sealing import KEY_BYTES, KeyRing
from service.store.template_store import RedisTemplateStore, kept_tenants
from tests.store.samples import KEY, assert_same_template, digest_of, make_material, make_template
from tests.store.test_api_key_store import key as api_key

NEWER = bytes(KEY_BYTES)


def store(redis: Redis, *ring: bytes, tenant: str = "acme") -> RedisTemplateStore:
    return RedisTemplateStore(redis, ring, Retention(), tenant=tenant)


def rewrapper(redis: Redis, ring: KeyRing) -> Rewrapper:
    return Rewrapper(redis, ring, lambda tenant: store(redis, *ring, tenant=tenant))


async def test_the_old_key_can_go_afterwards(redis: Redis) -> None:
    template = replace(make_template("tpl-1"), subject="anna")
    other = make_template("tpl-2", "c")
    await store(redis, KEY).put(template, "set", make_material("a", "b"))
    await store(redis, KEY, tenant="other").put(other, "set", make_material("c"))
    life_ms = await redis.pttl(keys.template_key("acme", "tpl-1"))
    with pytest.raises(StoreUnavailableError):
        await store(redis, NEWER).get("tpl-1")
    seen: list[int] = []
    assert await rewrapper(redis, (NEWER, KEY)).rewrap_templates(seen.append) == 2
    assert seen == [1, 2]
    assert_same_template(await store(redis, NEWER).get("tpl-1"), template)
    assert_same_template(await store(redis, NEWER, tenant="other").get("tpl-2"), other)
    [listed] = await store(redis, NEWER).list_subject("anna")
    assert_same_template(listed, template)
    assert life_ms - 5_000 < await redis.pttl(keys.template_key("acme", "tpl-1")) <= life_ms
    await store(redis, NEWER).get_material("tpl-1")
    await store(redis, NEWER).erase("tpl-1")
    assert await store(redis, NEWER).list_subject("anna") == []


async def test_it_may_be_done_again_and_while_others_look(redis: Redis) -> None:
    await store(redis, KEY).put(replace(make_template("tpl-1"), subject="anna"), "set", make_material("a", "b"))
    for _ in range(2):
        assert await rewrapper(redis, (NEWER, KEY)).rewrap_templates(lambda _done: None) == 1
        for ring in ((NEWER, KEY), (NEWER,)):
            assert len(await store(redis, *ring).list_subject("anna")) == 1


async def test_erased_templates_stay_erased(redis: Redis) -> None:
    await store(redis, KEY).put(make_template("tpl-1"), "set", make_material("a", "b"))
    await store(redis, KEY).erase("tpl-1")
    assert await rewrapper(redis, (NEWER, KEY)).rewrap_templates(lambda _done: None) == 0


async def test_kept_answers_are_dropped_rather_than_unreadable(redis: Redis) -> None:
    await store(redis, KEY).put(make_template("tpl-1"), "set", make_material("a", "b"))
    answers = RedisAnswerStore(redis, (KEY,), 100, tenant="acme")
    await answers.put_answer("key", digest_of("request"), KeptAnswer(201, None, None, b"{}", ("tpl-1",)))
    await rewrapper(redis, (NEWER, KEY)).rewrap_templates(lambda _done: None)
    afterwards = RedisAnswerStore(redis, (NEWER, KEY), 100, tenant="acme")
    async with afterwards.claim_answer("key", digest_of("request"), 1) as kept:
        assert kept is None


async def test_api_keys_too(redis: Redis) -> None:
    await RedisApiKeyStore(redis, (KEY,)).put(api_key())
    assert await rewrapper(redis, (NEWER, KEY)).rewrap_api_keys() == 1
    assert await RedisApiKeyStore(redis, (NEWER,)).get(api_key().key_id) == api_key()


async def test_tenants_are_those_with_templates(redis: Redis) -> None:
    assert await kept_tenants(redis) == set()
    for tenant in ("acme", "other"):
        await store(redis, KEY, tenant=tenant).put(make_template("tpl-1"), "set", make_material("a", "b"))
    await redis.set("coreface:unrelated", b"x")
    assert await kept_tenants(redis) == {"acme", "other"}
