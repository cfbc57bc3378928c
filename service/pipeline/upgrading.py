"""Kept templates of an older pack, made again from their embeddings with another aggregator."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from service.errors import ConsistencyUnavailableError, RefusedSetError, RequestError
from service.pipeline.template_creation import TemplateCreator
from service.types import RejectionReason, SampleMaterial, Template


class Upgrade(StrEnum):
    """What became of one template."""

    CURRENT = "current"
    """It was this pack's already."""
    UPGRADED = "upgraded"
    NEEDS_IMAGES = "needs_images"
    """Detector or embedder changed too: only the images make it anew."""
    REFUSED = "refused"
    """This pack makes no template of these samples under their policies, or would take in one that was dropped."""
    GONE = "gone"
    """Erased, expired or changed in between."""


class UpgradableStore(Protocol):
    async def get(self, template_id: str) -> Template: ...

    async def get_material(self, template_id: str) -> SampleMaterial: ...

    async def replace(self, old: Template, new: Template, set_key: str) -> bool:
        """Put `new` where `old` is, under the same id and key; False where `old` is not there any more."""
        ...


class TemplateUpgrader:
    """Brings templates to one pack. What fails leaves the kept template as it is."""

    def __init__(
        self, creator: TemplateCreator, store: UpgradableStore, *, fingerprint: str, embedding_fingerprint: str
    ) -> None:
        self._creator = creator
        self._store = store
        self._fingerprint = fingerprint
        self._embedding_fingerprint = embedding_fingerprint

    async def upgrade(self, template_id: str, *, dry_run: bool = False) -> Upgrade:
        """Raises what the engine and the store raise."""
        try:
            kept = await self._store.get(template_id)
            if kept.fingerprint == self._fingerprint:
                return Upgrade.CURRENT
            material = await self._store.get_material(template_id)
        except RequestError:
            return Upgrade.GONE
        if material.embedding_fingerprint != self._embedding_fingerprint:
            return Upgrade.NEEDS_IMAGES
        try:
            template, set_key = await self._creator.make_again(kept, material)
        except (RefusedSetError, ConsistencyUnavailableError):
            return Upgrade.REFUSED
        if _dropped(kept) & _used(template):
            return Upgrade.REFUSED
        if dry_run or await self._store.replace(kept, template, set_key):
            return Upgrade.UPGRADED
        return Upgrade.GONE


def _dropped(template: Template) -> set[str]:
    return {report.digest for report in template.reports if report.reason is RejectionReason.INCONSISTENT}


def _used(template: Template) -> set[str]:
    return {report.digest for report in template.reports if report.reason is None}
