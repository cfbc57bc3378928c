"""Embeddings of samples by digest, sealed, so that a sample that comes again is not embedded again."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from service.observability.store_calls import note_embeddings_looked_up
from service.store import keys
from service.store.failures import reporting_failures
from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.records import EMBEDDED_SAMPLE_FIELDS, embedded_sample_row, read_embedded_sample
from service.store.sealing import PayloadSealer, UnsealingError
from service.types import EmbeddedSample, FacePolicy

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class EmbeddingCache:
    """Of one tenant: whether another one sent a picture before cannot be told. Every method raises
    `StoreUnavailableError`."""

    def __init__(self, redis: Redis, sealer: PayloadSealer, ttl_s: int, tenant: str) -> None:
        self._redis = redis
        self._tenant = tenant
        self._sealer = sealer
        self._ttl_s = ttl_s

    async def get(self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy) -> dict[str, EmbeddedSample]:
        """The cached ones, by digest."""
        names = [self._name(fingerprint, face_policy, self._sealer.blind(digest)) for digest in digests]
        if not names:
            return {}
        with reporting_failures("get_embeddings"):
            kept = await self._redis.mget(names)
        found: dict[str, EmbeddedSample] = {}
        for digest, name, sealed in zip(digests, names, kept, strict=True):
            sample = self._unseal(sealed, name) if isinstance(sealed, bytes) else None
            if sample is not None and sample.digest == digest:
                found[digest] = sample
        note_embeddings_looked_up(found=len(found), missing=len(names) - len(found))
        return found

    async def put(self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy) -> None:
        if not samples:
            return
        with reporting_failures("put_embeddings"):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for sample in samples:
                    name = self._name(fingerprint, face_policy, self._sealer.blind(sample.digest))
                    frame = pack_frame(embedded_sample_row(sample))
                    pipeline.set(name, self._sealer.seal(frame, name), ex=self._ttl_s)
                await pipeline.execute()

    def names(self, digests: Sequence[str], fingerprint: str) -> list[str]:
        """Every name that these samples may be cached under."""
        return [
            self._name(fingerprint, face_policy, blinded)
            for digest in digests
            for blinded in self._sealer.blind_each(digest)
            for face_policy in FacePolicy
        ]

    def _name(self, fingerprint: str, face_policy: FacePolicy, blinded_digest: str) -> str:
        return keys.embedding_key(self._tenant, fingerprint, face_policy, blinded_digest)

    def _unseal(self, sealed: bytes, name: str) -> EmbeddedSample | None:
        try:
            frame = self._sealer.unseal(sealed, name)
            return read_embedded_sample(FrameReader.unpack(frame, EMBEDDED_SAMPLE_FIELDS))
        except (UnsealingError, FrameError) as error:
            # A cache may lose entries: the sample is embedded again.
            _log.warning("cached_embedding_unreadable", detail=str(error))
            return None
