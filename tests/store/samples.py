"""Values that the store's tests share."""

from __future__ import annotations

import hashlib

import numpy as np
from redis.asyncio import Redis

from service.settings import Retention
from service.store.sealing import KeyRing
from service.store.template_store import RedisTemplateStore
from service.types import (
    ConsistencyPolicy,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    HeadPose,
    RejectedSample,
    RejectionReason,
    SampleMaterial,
    SampleReport,
    SetPolicies,
    Template,
)

KEY = bytes(range(32))
FINGERPRINT = "0123456789abcdef" * 2
WIDTH = 128
PATIENT_S = 20.0
"""For servers that answer on a machine that is busy."""


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_embedded(name: str) -> EmbeddedSample:
    generator = np.random.default_rng(int(digest_of(name)[:8], 16))
    vector = generator.standard_normal(WIDTH).astype(np.float32)
    return EmbeddedSample(
        digest_of(name),
        EmbeddedFace(
            Detection((-1.5, 2.0, 60.25, 70.0), 0.93, generator.random((5, 2), np.float32) * 100),
            FaceQuality(12.5, 0.5, HeadPose(-3.0, 1.5)),
            Embedding(vector / np.linalg.norm(vector), 9.75),
        ),
    )


def make_template(template_id: str = "tpl-1", *samples: str) -> Template:
    names = samples or ("one", "two")
    used = make_embedded(names[0])
    return Template(
        template_id=template_id,
        fingerprint=FINGERPRINT,
        vector=used.embedding.vector,
        norm=12.5,
        created_at=1_700_000_000.25,
        expires_at=1_800_000_000.5,
        reports=(
            SampleReport(
                index=0,
                digest=used.digest,
                status="used",
                reason=None,
                box=used.face.detection.box,
                landmarks=tuple((float(x), float(y)) for x, y in used.face.detection.landmarks),
                detection_score=0.93,
                face_quality=used.face.quality,
                feature_norm=9.75,
                core_rank=0,
                weight=1.0,
            ),
            *(
                SampleReport(
                    index=index,
                    digest=digest_of(name),
                    status="rejected",
                    reason=RejectionReason.NO_FACE,
                    box=None,
                    landmarks=None,
                    detection_score=None,
                    face_quality=None,
                    feature_norm=None,
                    core_rank=None,
                    weight=0.0,
                )
                for index, name in enumerate(names[1:], start=1)
            ),
        ),
    )


def assert_same_template(left: Template, right: Template) -> None:
    """Equal in every field, bit by bit."""
    np.testing.assert_array_equal(left.vector, right.vector)
    assert (left.template_id, left.fingerprint, left.norm) == (right.template_id, right.fingerprint, right.norm)
    assert (left.created_at, left.expires_at, left.reports) == (right.created_at, right.expires_at, right.reports)


def make_material(*names: str) -> SampleMaterial:
    rejected = RejectedSample(digest_of("rejected"), RejectionReason.NO_FACE)
    policies = SetPolicies(FacePolicy.CENTRAL, ConsistencyPolicy.DROP)
    return SampleMaterial(tuple(make_embedded(name) for name in names), (rejected,), policies, "e" * 32)


MATERIAL = make_material("a", "b")
RETENTION = Retention(template_ttl_s=1000, embedding_ttl_s=100, tombstone_ttl_s=500)


def make_store(redis: Redis, ring: KeyRing = (KEY,), retention: Retention = RETENTION) -> RedisTemplateStore:
    return RedisTemplateStore(redis, ring, retention)


async def claim(store: RedisTemplateStore, set_key: str) -> Template | None:
    async with store.claim_set(set_key, PATIENT_S) as known:
        return known
