"""Templates and cached embeddings in Redis or Valkey: sealed, expiring by the server's own clock.

A template is one hash: `sealed` (the template), `index` (name of the set's index entry) and `layout`. Erasing removes
the first two and leaves the third as the tombstone: that takes no memory, so it also works on a full server.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from service.errors import (
    InvalidSealedTemplateError,
    RequestError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateNotFoundError,
)
from service.protocols import TemplateSealer
from service.settings import Retention
from service.store import keys
from service.store.connection import CONNECTION_FAILURES
from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.records import EMBEDDED_SAMPLE_FIELDS, embedded_sample_row, read_embedded_sample
from service.store.sealing import PayloadSealer, UnsealingError
from service.types import EmbeddedSample, FacePolicy, Template

_LAYOUT = "1"
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROBE_TTL_S = 60

_FIND = """
local id = redis.call('GET', KEYS[1])
if not id then return false end
return redis.call('HGET', ARGV[1] .. id, 'sealed')
"""

# The first live template of a set stays; an entry whose template is gone (expired, erased) is replaced.
_PUT = """
local id = redis.call('GET', KEYS[1])
if id then
  local kept = redis.call('HGET', ARGV[1] .. id, 'sealed')
  if kept then return kept end
end
redis.call('HSET', KEYS[2], 'sealed', ARGV[3], 'index', KEYS[1], 'layout', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return false
"""

_ERASE = """
if redis.call('HEXISTS', KEYS[1], 'sealed') == 0 then return 0 end
local index = redis.call('HGET', KEYS[1], 'index')
if redis.call('GET', index) == ARGV[1] then redis.call('DEL', index) end
redis.call('HDEL', KEYS[1], 'sealed', 'index')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""

_log = logging.getLogger(__name__)


class RedisTemplateStore:
    """The `TemplateStore` of the service."""

    def __init__(
        self, redis: Redis, template_sealer: TemplateSealer, payload_sealer: PayloadSealer, retention: Retention
    ) -> None:
        self._redis = redis
        self._template_sealer = template_sealer
        self._payload_sealer = payload_sealer
        self._retention = retention
        self._find = redis.register_script(_FIND)
        self._put = redis.register_script(_PUT)
        self._erase = redis.register_script(_ERASE)

    async def find_by_set(self, set_key: str) -> Template | None:
        with _reporting_failures():
            sealed = await self._find(keys=[self._index_key(set_key)], args=[keys.template_key("")])
        return None if sealed is None else self._unseal(sealed)

    async def get(self, template_id: str) -> Template:
        return self._unseal_as(template_id, await self._get_sealed(template_id))

    async def get_many(self, template_ids: Sequence[str]) -> dict[str, Template | RequestError]:
        wanted = [template_id for template_id in template_ids if _TEMPLATE_ID.fullmatch(template_id)]
        rows: list[list[bytes | None]] = []
        if wanted:
            with _reporting_failures():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for template_id in wanted:
                        pipeline.hmget(keys.template_key(template_id), ["sealed", "layout"])
                    rows = await pipeline.execute()
        found = dict(zip(wanted, rows, strict=True))
        return await asyncio.to_thread(self._unseal_many, template_ids, found)

    async def put(self, template: Template, set_key: str) -> Template:
        sealed = self._template_sealer.seal(template)
        with _reporting_failures():
            kept = await self._put(
                keys=[self._index_key(set_key), keys.template_key(template.template_id)],
                args=[
                    keys.template_key(""),
                    template.template_id,
                    sealed,
                    self._retention.template_ttl_s * 1000,
                    _LAYOUT,
                ],
            )
        return template if kept is None else self._unseal(kept)

    async def erase(self, template_id: str) -> None:
        template = await self.get(template_id)
        embeddings = [
            self._embedding_key(digest, template.fingerprint, face_policy)
            for digest in template.sample_digests
            for face_policy in FacePolicy
        ]
        with _reporting_failures():
            erased = await self._erase(
                keys=[keys.template_key(template_id), *embeddings],
                args=[template_id, self._retention.tombstone_ttl_s * 1000],
            )
        if not erased:
            raise _erased(template_id)

    async def get_embeddings(
        self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy
    ) -> dict[str, EmbeddedSample]:
        names = [self._embedding_key(digest, fingerprint, face_policy) for digest in digests]
        if not names:
            return {}
        with _reporting_failures():
            kept = await self._redis.mget(names)
        found: dict[str, EmbeddedSample] = {}
        for digest, name, sealed in zip(digests, names, kept, strict=True):
            sample = self._unseal_embedding(sealed, name) if isinstance(sealed, bytes) else None
            if sample is not None and sample.digest == digest:
                found[digest] = sample
        return found

    async def put_embeddings(
        self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy
    ) -> None:
        if not samples:
            return
        with _reporting_failures():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for sample in samples:
                    name = self._embedding_key(sample.digest, fingerprint, face_policy)
                    frame = pack_frame(embedded_sample_row(sample))
                    pipeline.set(name, self._payload_sealer.seal(frame, name), ex=self._retention.embedding_ttl_s)
                await pipeline.execute()

    async def ping(self) -> None:
        with _reporting_failures():
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.info("memory")
                pipeline.set(keys.PROBE_KEY, b"1", ex=_PROBE_TTL_S)
                memory, _ = await pipeline.execute()
        policy = memory.get("maxmemory_policy")
        if memory.get("maxmemory") and policy != "noeviction":
            raise StoreUnavailableError(
                f"The store evicts templates when its memory is full (maxmemory-policy {policy}); set noeviction."
            )

    async def _get_sealed(self, template_id: str) -> bytes:
        if _TEMPLATE_ID.fullmatch(template_id) is None:
            raise _not_found()
        with _reporting_failures():
            sealed, layout = await self._redis.hmget(keys.template_key(template_id), ["sealed", "layout"])
        if isinstance(sealed, bytes):
            return sealed
        raise _absent(template_id, layout)

    def _unseal_many(
        self, template_ids: Sequence[str], found: Mapping[str, Sequence[bytes | None]]
    ) -> dict[str, Template | RequestError]:
        templates: dict[str, Template | RequestError] = {}
        for template_id in template_ids:
            sealed, layout = found.get(template_id, (None, None))
            templates[template_id] = (
                _absent(template_id, layout) if sealed is None else self._unseal_as(template_id, sealed)
            )
        return templates

    def _unseal_as(self, template_id: str, sealed: bytes) -> Template:
        template = self._unseal(sealed)
        if template.template_id != template_id:
            raise StoreUnavailableError("The store holds another template under this id.")
        return template

    def _unseal(self, sealed: bytes) -> Template:
        try:
            return self._template_sealer.unseal(sealed)
        except InvalidSealedTemplateError as error:
            raise StoreUnavailableError(
                f"The stored template cannot be opened with this deployment's key. {error.detail}"
            ) from error

    def _unseal_embedding(self, sealed: bytes, name: str) -> EmbeddedSample | None:
        try:
            frame = self._payload_sealer.unseal(sealed, name)
            return read_embedded_sample(FrameReader.unpack(frame, EMBEDDED_SAMPLE_FIELDS))
        except (UnsealingError, FrameError) as error:
            # A cache may lose entries: the sample is embedded again.
            _log.warning("A cached embedding cannot be read: %s", error)
            return None

    def _index_key(self, set_key: str) -> str:
        return keys.set_index_key(self._payload_sealer.blind(set_key))

    def _embedding_key(self, digest: str, fingerprint: str, face_policy: FacePolicy) -> str:
        return keys.embedding_key(fingerprint, face_policy, self._payload_sealer.blind(digest))


def _not_found() -> TemplateNotFoundError:
    return TemplateNotFoundError("No template has this id; it may have expired.")


def _absent(template_id: str, layout: object) -> RequestError:
    return _not_found() if layout is None else _erased(template_id)


def _erased(template_id: str) -> TemplateErasedError:
    return TemplateErasedError(f"Template {template_id} was erased.")


@contextmanager
def _reporting_failures() -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreUnavailableError("The template store is full.") from error
    except ReadOnlyError as error:
        raise StoreUnavailableError("The template store is read-only.") from error
    except CONNECTION_FAILURES as error:
        raise StoreUnavailableError(f"The template store does not answer ({type(error).__name__}).") from error
