"""A store and an engine that keep everything in memory, for tests of the pipeline's own order and policy."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from service.conditions import EngineStatus, StoreCondition
from service.errors import OverloadedError, RequestError, TemplateNotFoundError
from service.types import (
    Aggregation,
    ComparedTemplate,
    ConsistencyPolicy,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    HeadPose,
    LeftOutSample,
    RejectedSample,
    RejectionReason,
    SampleMaterial,
    SampleOutcome,
    SetRequest,
    SetResult,
    Template,
)

WIDTH = 8
FINGERPRINT = "f" * 32
_LEFT_OUT = {ConsistencyPolicy.WARN: (), ConsistencyPolicy.DROP: (1,), ConsistencyPolicy.REFUSE: (0, 1)}


def png(width: int = 16, height: int = 16, content: bytes = b"") -> bytes:
    """A complete grey PNG of this size; `content` lies in a text chunk and makes it distinct."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    pixels = zlib.compress((b"\x00" + bytes(width)) * height)
    chunks = ((b"IHDR", header), (b"tEXt", b"Comment\x00" + content), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def embed(digest: str, norm: float = 10.0, eye_distance: float = 40.0, width: int = WIDTH) -> EmbeddedSample:
    """An embedding that depends on the digest alone."""
    seed = int.from_bytes(hashlib.sha256(digest.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(width)
    landmarks = np.array([[10, 10], [10 + eye_distance, 10], [30, 30], [15, 45], [45, 45]], np.float32)
    return EmbeddedSample(
        digest,
        EmbeddedFace(
            Detection((0.0, 0.0, 60.0, 60.0), 0.9, landmarks),
            FaceQuality(12.5, 0.5, HeadPose(-3.0, 1.5)),
            Embedding((vector / np.linalg.norm(vector)).astype(np.float32), norm),
        ),
    )


class FakeEngine:
    """Embeds by digest and takes the mean. Digests in `faceless` have no face, those in `foreign` that of
    somebody else: `drop` leaves them out, and `refuse` the whole set. With `groups_faces` False it cannot tell, like a
    pack without limits. The picture of a set is its samples, joined."""

    def __init__(self) -> None:
        self.requests: list[SetRequest] = []
        self.faceless: set[str] = set()
        self.foreign: set[str] = set()
        self.groups_faces = True
        self.failure: Exception | None = None
        self.too_busy: OverloadedError | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.cancelled = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def status(self) -> EngineStatus:
        return EngineStatus(True, "fake", 1, ("FakeProvider",))

    def check_load(self, tenant: str, time_left_s: float) -> None:
        if self.too_busy is not None:
            raise self.too_busy

    async def create(self, request: SetRequest) -> SetResult:
        self.requests.append(request)
        self.entered.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        fresh: list[SampleOutcome] = [
            RejectedSample(sample.digest, RejectionReason.NO_FACE)
            if sample.digest in self.faceless
            else embed(sample.digest)
            for sample in request.samples
        ]
        outcomes: tuple[SampleOutcome, ...] = tuple(
            sorted((*fresh, *request.known), key=lambda outcome: outcome.digest)
        )
        groups = tuple(self._group(outcome) for outcome in outcomes)
        left_out = _LEFT_OUT[request.consistency_policy] if 1 in groups else ()
        outcomes = tuple(
            LeftOutSample(outcome, RejectionReason.INCONSISTENT)
            if isinstance(outcome, EmbeddedSample) and group in left_out
            else outcome
            for outcome, group in zip(outcomes, groups, strict=True)
        )
        embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedSample)]
        aggregation = None
        if embedded:
            total = np.sum([sample.embedding.vector for sample in embedded], axis=0)
            length = float(np.linalg.norm(total))
            aggregation = Aggregation(
                (total / length).astype(np.float32),
                length,
                tuple(range(min(3, len(embedded)))),
                (1.0 / len(embedded),) * len(embedded),
                _without_each(embedded, total) if len(embedded) > 1 else None,
            )
        data = {sample.digest: sample.data for sample in request.samples}
        picture = b"".join(data.get(line.digest, b"-") for line in request.draw) if request.draw else None
        return SetResult(request.request_id, outcomes, aggregation, {"embed": 0.01}, groups, picture)

    def _group(self, outcome: SampleOutcome) -> int | None:
        told = self.groups_faces and isinstance(outcome, EmbeddedSample)
        return int(outcome.digest in self.foreign) if told else None


def _without_each(embedded: Sequence[EmbeddedSample], total: NDArray[np.float32]) -> NDArray[np.float32]:
    others = np.stack([total - sample.embedding.vector for sample in embedded])
    return (others / np.linalg.norm(others, axis=1, keepdims=True)).astype(np.float32)


class MemoryStore:
    """TemplateStore without expiry."""

    def __init__(self) -> None:
        self.templates: dict[str, Template] = {}
        self.material: dict[str, SampleMaterial] = {}
        self.sets: dict[str, str] = {}
        self.embeddings: dict[tuple[str, str, FacePolicy], EmbeddedSample] = {}

    async def find_by_set(self, set_key: str) -> Template | None:
        return self.templates.get(self.sets.get(set_key, ""))

    @asynccontextmanager
    async def claim_set(self, set_key: str, wait_s: float) -> AsyncIterator[Template | None]:
        yield await self.find_by_set(set_key)

    async def get(self, template_id: str) -> Template:
        if template_id not in self.templates:
            raise TemplateNotFoundError("No such template.")
        return self.templates[template_id]

    async def get_compared(self, template_ids: Sequence[str]) -> dict[str, ComparedTemplate | RequestError]:
        absent = TemplateNotFoundError("No such template.")
        kept = {template_id: self.templates.get(template_id) for template_id in template_ids}
        return {
            template_id: absent if template is None else template.compared for template_id, template in kept.items()
        }

    async def get_material(self, template_id: str) -> SampleMaterial:
        await self.get(template_id)
        return self.material[template_id]

    async def list_subject(self, subject: str) -> list[Template]:
        return [template for template in self.templates.values() if template.subject == subject]

    async def put(self, template: Template, set_key: str, material: SampleMaterial) -> Template:
        kept = await self.find_by_set(set_key)
        if kept is not None:
            return kept
        self.templates[template.template_id] = template
        self.material[template.template_id] = material
        self.sets[set_key] = template.template_id
        return template

    async def erase(self, template_id: str) -> None:
        await self.get(template_id)
        del self.templates[template_id]

    async def get_embeddings(
        self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy
    ) -> dict[str, EmbeddedSample]:
        keys = [(digest, fingerprint, face_policy) for digest in digests]
        return {key[0]: self.embeddings[key] for key in keys if key in self.embeddings}

    async def put_embeddings(
        self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy
    ) -> None:
        for sample in samples:
            self.embeddings[sample.digest, fingerprint, face_policy] = sample

    async def ping(self) -> StoreCondition:
        return StoreCondition()
