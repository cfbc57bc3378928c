from __future__ import annotations

import numpy as np
import pytest

from service.cli.transient_store import TransientAnswerStore, TransientTemplateStore
from service.errors import TemplateNotFoundError
from service.kept_answers import KeptAnswer
from service.types import FacePolicy, SampleMaterial, SetPolicies, Template
from tests.pipeline.fakes import embed

MATERIAL = SampleMaterial((), (), SetPolicies(), "e" * 32)


def template(template_id: str) -> Template:
    return Template(template_id, "f" * 32, np.ones(4, np.float32) / 2, 2.0, 0.0, 1.0, ())


async def test_the_first_template_of_a_set_stays() -> None:
    store = TransientTemplateStore()
    assert await store.find_by_set("set") is None
    first = await store.put(template("one"), "set", MATERIAL)
    assert await store.put(template("two"), "set", MATERIAL) is first
    assert await store.find_by_set("set") is first
    assert await store.get("one") is first


async def test_what_is_erased_is_gone() -> None:
    store = TransientTemplateStore()
    await store.put(template("one"), "set", MATERIAL)
    assert await store.get_material("one") is MATERIAL
    await store.erase("one")
    assert await store.find_by_set("set") is None
    for call in (store.get, store.erase, store.get_material):
        with pytest.raises(TemplateNotFoundError):
            await call("one")


async def test_embeddings_are_not_kept() -> None:
    store = TransientTemplateStore()
    sample = embed("0" * 64)
    await store.put_embeddings([sample], "f" * 32, FacePolicy.LARGEST)
    assert await store.get_embeddings([sample.digest], "f" * 32, FacePolicy.LARGEST) == {}


async def test_a_set_is_claimed_of_nobody() -> None:
    store = TransientTemplateStore()
    async with store.claim_set("set", 0.0) as known:
        assert known is None
        first = await store.put(template("one"), "set", MATERIAL)
    async with store.claim_set("set", 0.0) as known:
        assert known is first


async def test_no_answer_is_kept() -> None:
    store, answer = TransientAnswerStore(), KeptAnswer(200, None, None, b"{}")
    for _ in range(2):
        async with store.claim_answer("key", "digest", 0.0) as kept:
            assert kept is None
            assert await store.put_answer("key", "digest", answer) is answer


async def test_what_is_kept_is_listed_and_does_not_expire_within_the_run() -> None:
    store = TransientTemplateStore()
    first = await store.put(template("one"), "set", MATERIAL)
    assert await store.list_page(0, 50) == ([first], 0)
    assert await store.expire("one", 1.0) is first
    with pytest.raises(TemplateNotFoundError):
        await store.expire("two", 1.0)
