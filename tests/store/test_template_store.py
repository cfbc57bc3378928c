from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from service.errors import StoreUnavailableError, TemplateErasedError, TemplateNotFoundError
from service.store import keys, scripts
from service.store.records import encode_material
from service.store.template_store import RedisTemplateStore
from service.types import DEFAULT_TENANT, FacePolicy, Template
from tests.store.samples import (
    FINGERPRINT,
    KEY,
    MATERIAL,
    RETENTION,
    assert_same_template,
    claim,
    digest_of,
    make_embedded,
    make_store,
    make_template,
)


async def test_a_kept_template_is_found_by_id_and_by_set(store: RedisTemplateStore) -> None:
    template = make_template()
    assert_same_template(await store.put(template, "set", MATERIAL), template)
    assert_same_template(await store.get("tpl-1"), template)
    found = await store.find_by_set("set")
    assert found is not None
    assert_same_template(found, template)


async def test_many_are_read_as_one_by_one(store: RedisTemplateStore) -> None:
    template = make_template()
    await store.put(template, "set", MATERIAL)
    gone = make_template("tpl-2")
    await store.put(gone, "other", MATERIAL)
    await store.erase("tpl-2")
    found = await store.get_many(["tpl-1", "tpl-2", "tpl-3", "*", "tpl-1"])
    assert list(found) == ["tpl-1", "tpl-2", "tpl-3", "*"]
    kept = found.pop("tpl-1")
    assert isinstance(kept, Template)
    assert_same_template(kept, template)
    kinds = [TemplateErasedError, TemplateNotFoundError, TemplateNotFoundError]
    assert [type(error) for error in found.values()] == kinds
    assert await store.get_many([]) == {}


async def test_what_was_never_kept_is_not_found(store: RedisTemplateStore) -> None:
    assert await store.find_by_set("set") is None
    for template_id in ("tpl-1", "", "x" * 65, "a:b", "a/b", "ä", "\ud800", "*"):
        with pytest.raises(TemplateNotFoundError):
            await store.get(template_id)
        with pytest.raises(TemplateNotFoundError):
            await store.erase(template_id)


async def test_the_first_template_of_a_set_stays(store: RedisTemplateStore) -> None:
    first = await store.put(make_template("tpl-1"), "set", MATERIAL)
    assert_same_template(await store.put(make_template("tpl-2"), "set", MATERIAL), first)
    with pytest.raises(TemplateNotFoundError):
        await store.get("tpl-2")
    assert (await store.put(make_template("tpl-3"), "another set", MATERIAL)).template_id == "tpl-3"


async def test_a_thousand_concurrent_puts_of_one_set_agree(store: RedisTemplateStore, redis: Redis) -> None:
    kept = await asyncio.gather(*(store.put(make_template(f"tpl-{n}"), "set", MATERIAL) for n in range(1000)))
    assert len({template.template_id for template in kept}) == 1
    found = await store.find_by_set("set")
    assert found is not None
    assert found.template_id == kept[0].template_id
    assert len(await redis.keys(keys.template_key(DEFAULT_TENANT, "*"))) == 1


async def test_a_dangling_index_is_replaced(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put(make_template("tpl-1"), "set", MATERIAL)
    await redis.delete(keys.template_key(DEFAULT_TENANT, "tpl-1"))
    assert await store.find_by_set("set") is None
    assert (await store.put(make_template("tpl-2"), "set", MATERIAL)).template_id == "tpl-2"
    found = await store.find_by_set("set")
    assert found is not None
    assert found.template_id == "tpl-2"


async def test_a_set_can_be_kept_again_after_its_template_was_erased(store: RedisTemplateStore) -> None:
    await store.put(make_template("tpl-1"), "set", MATERIAL)
    await store.erase("tpl-1")
    assert await store.find_by_set("set") is None
    assert (await store.put(make_template("tpl-2"), "set", MATERIAL)).template_id == "tpl-2"
    with pytest.raises(TemplateErasedError):
        await store.get("tpl-1")


async def test_erasing_leaves_nothing_but_a_tombstone(store: RedisTemplateStore, redis: Redis) -> None:
    template = make_template("tpl-1", "a", "b")
    await store.put(template, "set", MATERIAL)
    for face_policy in FacePolicy:
        await store.put_embeddings([make_embedded("a"), make_embedded("b")], FINGERPRINT, face_policy)
    await store.put_embeddings([make_embedded("c")], FINGERPRINT, FacePolicy.LARGEST)
    await store.erase("tpl-1")
    for _ in range(2):
        with pytest.raises(TemplateErasedError):
            await store.get("tpl-1")
        with pytest.raises(TemplateErasedError):
            await store.erase("tpl-1")
    assert await redis.hgetall(keys.template_key(DEFAULT_TENANT, "tpl-1")) == {b"layout": b"2"}
    assert 0 < await redis.ttl(keys.template_key(DEFAULT_TENANT, "tpl-1")) <= RETENTION.tombstone_ttl_s
    assert len(await redis.keys("*")) == 2  # the tombstone, and the embedding of another sample
    assert list(await store.get_embeddings([digest_of("c")], FINGERPRINT, FacePolicy.LARGEST)) == [digest_of("c")]


async def test_an_erasure_among_concurrent_ones_happens_once(store: RedisTemplateStore) -> None:
    await store.put(make_template(), "set", MATERIAL)
    answers = await asyncio.gather(*(store.erase("tpl-1") for _ in range(50)), return_exceptions=True)
    assert sum(answer is None for answer in answers) == 1
    assert sum(isinstance(answer, TemplateErasedError) for answer in answers) == 49


async def test_the_server_expires_what_is_kept(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put(make_template(), "set", MATERIAL)
    await store.put_embeddings([make_embedded("a")], FINGERPRINT, FacePolicy.LARGEST)
    lives = {name: await redis.ttl(name) for name in await redis.keys("*")}
    assert len(lives) == 3
    for name, seconds in lives.items():
        limit = RETENTION.embedding_ttl_s if b":embedding:" in name else RETENTION.template_ttl_s
        assert limit - 60 < seconds <= limit
    await redis.pexpire(keys.template_key(DEFAULT_TENANT, "tpl-1"), 1)
    await asyncio.sleep(0.01)
    with pytest.raises(TemplateNotFoundError):
        await store.get("tpl-1")


async def test_cached_embeddings_come_back_by_digest(store: RedisTemplateStore) -> None:
    await store.put_embeddings([make_embedded("a"), make_embedded("b")], FINGERPRINT, FacePolicy.LARGEST)
    wanted = [digest_of(name) for name in ("b", "missing", "a")]
    found = await store.get_embeddings(wanted, FINGERPRINT, FacePolicy.LARGEST)
    assert set(found) == {digest_of("a"), digest_of("b")}
    np.testing.assert_array_equal(found[digest_of("a")].embedding.vector, make_embedded("a").embedding.vector)
    assert await store.get_embeddings(wanted, FINGERPRINT, FacePolicy.ONLY) == {}
    assert await store.get_embeddings(wanted, "another pack", FacePolicy.LARGEST) == {}
    assert await store.get_embeddings([], FINGERPRINT, FacePolicy.LARGEST) == {}
    await store.put_embeddings([], FINGERPRINT, FacePolicy.LARGEST)


async def test_a_damaged_or_swapped_cache_entry_is_a_miss(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put_embeddings([make_embedded("a"), make_embedded("b")], FINGERPRINT, FacePolicy.LARGEST)
    one, two = sorted(await redis.keys(b"coreface:*:embedding:*"))
    sealed = await redis.get(one)
    assert isinstance(sealed, bytes)
    await redis.set(two, sealed)
    await redis.set(one, sealed[:-1])
    digests = [digest_of("a"), digest_of("b")]
    assert await store.get_embeddings(digests, FINGERPRINT, FacePolicy.LARGEST) == {}


async def test_a_template_moved_to_another_id_is_not_answered(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put(make_template("tpl-1"), "one", MATERIAL)
    await store.put(make_template("tpl-2", "c"), "two", MATERIAL)
    await redis.copy(
        keys.template_key(DEFAULT_TENANT, "tpl-1"), keys.template_key(DEFAULT_TENANT, "tpl-2"), replace=True
    )
    with pytest.raises(StoreUnavailableError):
        await store.get("tpl-2")


async def test_another_key_neither_opens_nor_blocks(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put(make_template("tpl-1"), "set", MATERIAL)
    other = make_store(redis, (bytes(32),))
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await other.get("tpl-1")
    assert await other.find_by_set("set") is None
    assert (await other.put(make_template("tpl-2"), "set", MATERIAL)).template_id == "tpl-2"


async def test_the_server_sees_neither_vectors_nor_digests(store: RedisTemplateStore, redis_server: str) -> None:
    template = make_template()
    await store.put(template, "set-of-one-subject", MATERIAL)
    await store.put_embeddings([make_embedded("one")], FINGERPRINT, FacePolicy.LARGEST)
    with BlockingRedis.from_url(redis_server) as look:
        names = look.keys("*")
        seen = b"".join(names) + b"".join(look.dump(name) for name in names)
    assert b"tpl-1" in seen  # the look is a real one
    raw = template.vector.tobytes()
    assert not any(raw[at : at + 8] in seen for at in range(0, len(raw), 8))
    raw = MATERIAL.samples[0].embedding.vector.tobytes()
    assert not any(raw[at : at + 8] in seen for at in range(0, len(raw), 8))
    for secret in (digest_of("one"), digest_of("two"), "set-of-one-subject"):
        assert secret.encode() not in seen
        assert bytes.fromhex(digest_of("one")) not in seen


async def test_what_a_template_was_made_of_is_kept_with_it(store: RedisTemplateStore) -> None:
    await store.put(make_template(), "set", MATERIAL)
    kept = await store.get_material("tpl-1")
    assert encode_material(kept) == encode_material(MATERIAL)
    await store.erase("tpl-1")
    with pytest.raises(TemplateErasedError):
        await store.get_material("tpl-1")
    with pytest.raises(TemplateNotFoundError):
        await store.get_material("tpl-2")


async def test_erasing_destroys_the_key_of_the_template(store: RedisTemplateStore, redis: Redis) -> None:
    await store.put(make_template(), "set", MATERIAL)
    name = keys.template_key(DEFAULT_TENANT, "tpl-1")
    before = await redis.hgetall(name)
    assert {b"key", b"sealed", b"material"} < set(before)
    await store.put(make_template("tpl-2"), "other", MATERIAL)
    other_key = await redis.hget(keys.template_key(DEFAULT_TENANT, "tpl-2"), "key")
    await store.erase("tpl-1")
    assert await redis.hget(name, "key") is None
    await redis.hset(name, mapping={**before, b"key": other_key})
    with pytest.raises(StoreUnavailableError):
        await store.get("tpl-1")


async def test_templates_are_listed_by_subject_until_they_are_gone(store: RedisTemplateStore, redis: Redis) -> None:
    for number, subject in enumerate(("anna", "anna", "ben", None)):
        template = replace(make_template(f"tpl-{number}"), subject=subject)
        await store.put(template, f"set {number}", MATERIAL)
    assert [template.template_id for template in await store.list_subject("anna")] == ["tpl-0", "tpl-1"]
    assert {template.subject for template in await store.list_subject("anna")} == {"anna"}
    assert await store.list_subject("carla") == []
    await store.erase("tpl-0")
    assert [template.template_id for template in await store.list_subject("anna")] == ["tpl-1"]
    await redis.delete(keys.template_key(DEFAULT_TENANT, "tpl-1"))
    assert await store.list_subject("anna") == []
    await store.erase("tpl-2")
    names = await redis.keys("*")
    assert not any(word in name for name in names for word in (b"anna", b"ben"))


async def test_older_keys_of_the_ring_still_open(store: RedisTemplateStore, redis: Redis) -> None:
    template = replace(make_template(), subject="anna")
    await store.put(template, "set", MATERIAL)
    await store.put_embeddings([make_embedded("one")], FINGERPRINT, FacePolicy.LARGEST)
    turned = make_store(redis, (bytes(32), KEY))
    assert_same_template(await turned.get("tpl-1"), template)
    assert [found.template_id for found in await turned.list_subject("anna")] == ["tpl-1"]
    assert (await turned.get_material("tpl-1")).policies == MATERIAL.policies
    await turned.put(make_template("tpl-2"), "other", MATERIAL)
    with pytest.raises(StoreUnavailableError):
        await store.get("tpl-2")
    await turned.erase("tpl-1")
    assert await redis.keys("coreface:embedding:*") == [], "cached under the older key"


async def test_another_layout_is_named(store: RedisTemplateStore, redis: Redis) -> None:
    await redis.hset(
        keys.template_key(DEFAULT_TENANT, "tpl-1"), mapping={"sealed": b"x", "index": b"y", "layout": b"1"}
    )
    with pytest.raises(StoreUnavailableError, match="layout"):
        await store.get("tpl-1")


async def test_a_template_is_replaced_under_its_id_and_key(store: RedisTemplateStore, redis: Redis) -> None:
    old = make_template()
    await store.put(old, "old set", MATERIAL)
    life = await redis.pttl(keys.template_key(DEFAULT_TENANT, "tpl-1"))
    new = replace(old, fingerprint="n" * 32, norm=9.0)
    assert await store.replace(old, new, "new set")
    assert_same_template(await store.get("tpl-1"), new)
    assert await store.find_by_set("old set") is None
    found = await store.find_by_set("new set")
    assert found is not None
    assert_same_template(found, new)
    assert life - 10_000 < await redis.pttl(keys.template_key(DEFAULT_TENANT, "tpl-1")) <= life
    assert encode_material(await store.get_material("tpl-1")) == encode_material(MATERIAL)
    assert not await store.replace(old, new, "another"), "what is kept is not what was read"
    await store.erase("tpl-1")
    assert sorted(await redis.keys("*")) == [keys.template_key(DEFAULT_TENANT, "tpl-1").encode()]
    with pytest.raises(TemplateErasedError):
        await store.replace(new, old, "old set")


async def test_a_set_that_is_being_made_is_waited_for(store: RedisTemplateStore, redis: Redis) -> None:
    other = make_store(redis)
    async with store.claim_set("set", 10.0) as known:
        assert known is None
        waiting = asyncio.create_task(claim(other, "set"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert await store.find_by_set("set") is None, "a look does not wait"
        await store.put(make_template(), "set", MATERIAL)
        found = await waiting
    assert found is not None
    assert_same_template(found, make_template())
    assert not await redis.keys("coreface:claim:*"), "kept in one step with the template"
    async with store.claim_set("set", 10.0) as known:
        assert known is not None
    assert not await redis.keys("coreface:claim:*"), "what is kept is not claimed"


async def test_the_next_one_makes_what_failed(store: RedisTemplateStore, redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.claim_set("set", 10.0):
            raise ZeroDivisionError
    assert not await redis.keys("*")
    assert await claim(make_store(redis), "set") is None


async def test_a_claim_has_a_short_life_and_tells_nothing(store: RedisTemplateStore, redis: Redis) -> None:
    async with store.claim_set("set-of-one-subject", 10.0):
        (name,) = await redis.keys("*")
        assert 0 < await redis.pttl(name) <= 3000
        assert b"set-of-one-subject" not in name
        await store.put(make_template(), "another set", MATERIAL)
        assert await redis.exists(name), "another set's"


async def test_a_claim_that_is_sent_twice_finds_itself(redis: Redis) -> None:
    asked = [await redis.eval(scripts.FIND, 2, "index", "claim", "", value, 1000) for value in ("a", "a", "b")]
    assert asked == [1, 1, 0]


async def test_every_id_is_told_but_those_of_erased_templates(store: RedisTemplateStore) -> None:
    for number in range(31):
        await store.put(make_template(f"tpl-{number}"), f"set {number}", MATERIAL)
    await store.erase("tpl-30")
    assert {template_id async for template_id in store.ids()} == {f"tpl-{number}" for number in range(30)}
