"""Stores that live as long as one command, for `--local`: nothing is kept, nothing is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.conditions import StoreCondition
from service.errors import RequestError, TemplateNotFoundError
from service.kept_answers import KeptAnswer
from service.types import ComparedTemplate, EmbeddedSample, FacePolicy, SampleMaterial, Template


class TransientTemplateStore:
    """The `TemplateStore` of a single process and a single run; caches no embeddings."""

    def __init__(self) -> None:
        self._templates: dict[str, Template] = {}
        self._material: dict[str, SampleMaterial] = {}
        self._ids_by_set: dict[str, str] = {}

    async def find_by_set(self, set_key: str) -> Template | None:
        template_id = self._ids_by_set.get(set_key)
        return None if template_id is None else self._templates[template_id]

    @asynccontextmanager
    async def claim_set(self, set_key: str, wait_s: float) -> AsyncIterator[Template | None]:
        """There is nobody else."""
        yield await self.find_by_set(set_key)

    async def get(self, template_id: str) -> Template:
        if template_id not in self._templates:
            raise TemplateNotFoundError("With --local there are no stored templates: name files, or drop --local.")
        return self._templates[template_id]

    async def get_compared(self, template_ids: Sequence[str]) -> dict[str, ComparedTemplate | RequestError]:
        found: dict[str, ComparedTemplate | RequestError] = {}
        for template_id in template_ids:
            try:
                found[template_id] = (await self.get(template_id)).compared
            except TemplateNotFoundError as error:
                found[template_id] = error
        return found

    async def get_material(self, template_id: str) -> SampleMaterial:
        await self.get(template_id)
        return self._material[template_id]

    async def list_subject(self, subject: str) -> list[Template]:
        return [template for template in self._templates.values() if template.subject == subject]

    async def list_page(self, cursor: int, limit: int) -> tuple[list[Template], int]:
        return list(self._templates.values()), 0

    async def expire(self, template_id: str, seconds: float) -> Template:
        """Nothing outlives the run."""
        return await self.get(template_id)

    async def put(self, template: Template, set_key: str, material: SampleMaterial) -> Template:
        template_id = self._ids_by_set.setdefault(set_key, template.template_id)
        self._material.setdefault(template_id, material)
        return self._templates.setdefault(template_id, template)

    async def erase(self, template_id: str) -> None:
        await self.get(template_id)
        del self._templates[template_id], self._material[template_id]
        self._ids_by_set = {key: kept for key, kept in self._ids_by_set.items() if kept != template_id}

    async def get_embeddings(
        self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy
    ) -> dict[str, EmbeddedSample]:
        return {}

    async def put_embeddings(
        self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy
    ) -> None:
        """Nothing asks for them again."""

    async def ping(self) -> StoreCondition:
        """Always there."""
        return StoreCondition()


class TransientAnswerStore:
    """The `AnswerStore` of a single run, which repeats no request: keeps no answers."""

    @asynccontextmanager
    async def claim_answer(self, key: str, request_digest: str, wait_s: float) -> AsyncIterator[KeptAnswer | None]:
        yield None

    async def put_answer(self, key: str, request_digest: str, answer: KeptAnswer) -> KeptAnswer:
        return answer
