from __future__ import annotations

import numpy as np
import pytest

from service.calibration.quality_scale import QualityScale
from service.errors import InconsistentSetError, TemplateNotFoundError
from service.pipeline.set_keys import digest_sample
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.upgrading import TemplateUpgrader, Upgrade
from service.types import ConsistencyPolicy, RejectionReason, SampleMaterial, SetPolicies, Template
from tests.pipeline.fakes import FINGERPRINT, FakeEngine, MemoryStore, png
from tests.pipeline.test_template_creation import POLICY

NEW = "n" * 32
EMBEDDINGS = "e" * 32
A, B, C, BAD = png(content=b"a"), png(content=b"b"), png(content=b"c"), b"text"


class UpgradableMemoryStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}

    async def replace(self, old: Template, new: Template, set_key: str) -> bool:
        if self.templates.get(old.template_id) is not old:
            return False
        self.templates[old.template_id] = new
        self.names[old.template_id] = set_key
        return True


class Rig:
    def __init__(self) -> None:
        self.store, self.engine = UpgradableMemoryStore(), FakeEngine()
        self.old, self.new = (
            TemplateCreator(
                self.engine,
                self.store,
                fingerprint,
                POLICY,
                embedding_fingerprint=EMBEDDINGS,
                quality_scale=QualityScale(None),
            )
            for fingerprint in (FINGERPRINT, NEW)
        )

    def upgrader(self, embedding_fingerprint: str = EMBEDDINGS) -> TemplateUpgrader:
        return TemplateUpgrader(self.new, self.store, fingerprint=NEW, embedding_fingerprint=embedding_fingerprint)

    async def enrol(self) -> Template:
        created = await self.old.create([A, BAD, B], SetPolicies(consistency=ConsistencyPolicy.DROP), subject="anna")
        return created.template


async def test_a_template_is_made_again_under_its_id_and_without_images() -> None:
    rig = Rig()
    before = await rig.enrol()
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.UPGRADED
    after = rig.store.templates[before.template_id]
    assert after.fingerprint == NEW
    assert (after.subject, after.created_at, after.expires_at) == ("anna", before.created_at, before.expires_at)
    assert [report.reason for report in after.reports] == [report.reason for report in before.reports]
    assert np.array_equal(after.vector, before.vector), "the fake engine knows no packs"
    asked = rig.engine.requests[-1]
    assert (asked.samples, asked.fingerprint, asked.consistency_policy) == ((), NEW, ConsistencyPolicy.DROP)
    again = await rig.new.create([B, A, BAD], SetPolicies(consistency=ConsistencyPolicy.DROP), subject="anna")
    assert rig.store.names[before.template_id] == next(
        name for name, template_id in rig.store.sets.items() if template_id == again.template.template_id
    ), "the set is found under the name it would have now"
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.CURRENT


async def test_another_embedder_needs_the_images() -> None:
    rig = Rig()
    before = await rig.enrol()
    assert await rig.upgrader("other").upgrade(before.template_id) is Upgrade.NEEDS_IMAGES
    assert rig.store.templates[before.template_id] is before


async def test_a_dry_run_changes_nothing() -> None:
    rig = Rig()
    before = await rig.enrol()
    assert await rig.upgrader().upgrade(before.template_id, dry_run=True) is Upgrade.UPGRADED
    assert rig.store.templates[before.template_id] is before


async def test_what_the_new_pack_refuses_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    before = await rig.enrol()

    async def refuse(*_: object) -> tuple[Template, str]:
        raise InconsistentSetError("two people", ())

    monkeypatch.setattr(rig.new, "make_again", refuse)
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.REFUSED
    assert rig.store.templates[before.template_id] is before


async def _enrol_with_a_dropped_stranger(rig: Rig) -> Template:
    rig.engine.foreign.add(digest_sample(C))
    before = (await rig.old.create([A, B, C], SetPolicies(consistency=ConsistencyPolicy.DROP))).template
    assert [report.reason for report in before.reports] == [None, None, RejectionReason.INCONSISTENT]
    return before


async def test_a_pack_that_cannot_drop_takes_no_dropped_sample_back_in() -> None:
    rig = Rig()
    before = await _enrol_with_a_dropped_stranger(rig)
    rig.engine.groups_faces = False
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.REFUSED
    assert rig.store.templates[before.template_id] is before


async def test_a_pack_with_wider_limits_takes_no_dropped_sample_back_in() -> None:
    rig = Rig()
    before = await _enrol_with_a_dropped_stranger(rig)
    rig.engine.foreign.clear()
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.REFUSED
    assert rig.store.templates[before.template_id] is before


async def test_what_goes_in_between_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    before = await rig.enrol()

    async def never(*_: object) -> bool:
        return False

    async def erased(_: str) -> SampleMaterial:
        raise TemplateNotFoundError("gone")

    assert await rig.upgrader().upgrade("none") is Upgrade.GONE
    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "replace", never)
        assert await rig.upgrader().upgrade(before.template_id) is Upgrade.GONE
    monkeypatch.setattr(rig.store, "get_material", erased)
    assert await rig.upgrader().upgrade(before.template_id) is Upgrade.GONE
