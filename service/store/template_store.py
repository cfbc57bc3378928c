"""Templates and cached embeddings in Redis or Valkey: sealed, expiring by the server's own clock.

How a template lies there: `scripts`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from service.conditions import StoreCondition
from service.errors import RequestError, StoreUnavailableError
from service.offloading import off_loop
from service.settings import Retention
from service.store import keys, scripts
from service.store.claims import CLAIM_LIFE_S, Claim, Claims, new_claim
from service.store.data_keys import DataKey
from service.store.embedding_cache import EmbeddingCache
from service.store.failures import absent_template, reporting_failures
from service.store.frames import FrameError
from service.store.records import decode_compared, decode_material, decode_template, encode_material, encode_template
from service.store.sealing import KeyRing, PayloadSealer, SealingPurpose, UnsealingError
from service.types import DEFAULT_TENANT, ComparedTemplate, EmbeddedSample, FacePolicy, SampleMaterial, Template

_LAYOUT = "2"
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROBE_TTL_S = 60
_TEMPLATE = "template"
_MATERIAL = "material"
_MATERIAL_BYTES = 4096
"""Of one sample, or so."""
_FEW = 8
"""Templates that are unsealed and read in less time than a thread takes to begin."""
_MOST_SCANS = 100
"""Of the key space, for one page: it may hold mostly other things."""
_Decoded = TypeVar("_Decoded", Template, ComparedTemplate)


class RedisTemplateStore:
    """The `TemplateStore` of the service, for one tenant: what others keep is not there for it."""

    def __init__(
        self,
        redis: Redis,
        ring: KeyRing,
        retention: Retention,
        *,
        tenant: str = DEFAULT_TENANT,
        claim_life_s: float = CLAIM_LIFE_S,
    ) -> None:
        self._redis = redis
        self._tenant = tenant
        self._sealer = PayloadSealer(ring, SealingPurpose.TEMPLATES)
        self._retention = retention
        self._cache = EmbeddingCache(
            redis, PayloadSealer(ring, SealingPurpose.EMBEDDINGS), retention.embedding_ttl_s, tenant
        )
        self._claims = Claims(redis, life_s=claim_life_s)
        self._find = redis.register_script(scripts.FIND)
        self._put = redis.register_script(scripts.PUT)
        self._erase = redis.register_script(scripts.ERASE)
        self._replace = redis.register_script(scripts.REPLACE)
        self._list = redis.register_script(scripts.LIST)
        self._expire = redis.register_script(scripts.EXPIRE)

    async def find_by_set(self, set_key: str) -> Template | None:
        with reporting_failures("find_set"):
            found = await self._find(keys=[self._set_index_key(set_key)], args=[self._template_key("")])
        return None if found is None else self._unseal_found(found)

    @asynccontextmanager
    async def claim_set(self, set_key: str, wait_s: float) -> AsyncIterator[Template | None]:
        claim, value = self._set_claim_key(set_key), new_claim()

        async def find_or_claim() -> Template | Claim:
            with reporting_failures("claim_set"):
                found = await self._find(
                    keys=[self._set_index_key(set_key), claim],
                    args=[self._template_key(""), value, self._claims.life_ms],
                )
            if isinstance(found, int):
                return Claim.OURS if found else Claim.OTHERS
            return self._unseal_found(found)

        async with self._claims.outcome_or_turn(claim, value, find_or_claim, wait_s) as known:
            yield known

    async def get(self, template_id: str) -> Template:
        _, key, sealed = await self._read(template_id, "sealed")
        return self._unseal(template_id, key, sealed)

    async def get_compared(self, template_ids: Sequence[str]) -> dict[str, ComparedTemplate | RequestError]:
        return await self._get_each(template_ids, decode_compared)

    async def get_many(self, template_ids: Sequence[str]) -> dict[str, Template | RequestError]:
        """Each as `get` would answer it, or the error that `get` would raise for it alone."""
        return await self._get_each(template_ids, decode_template)

    async def _get_each(
        self, template_ids: Sequence[str], decode: Callable[[bytes], _Decoded]
    ) -> dict[str, _Decoded | RequestError]:
        wanted = [template_id for template_id in dict.fromkeys(template_ids) if _TEMPLATE_ID.fullmatch(template_id)]
        fields = ["layout", "key", "sealed"]
        rows: list[Any]
        if len(wanted) <= _FEW:
            with reporting_failures("get_many"):
                reading = (self._redis.hmget(self._template_key(template_id), fields) for template_id in wanted)
                rows = list(await asyncio.gather(*reading))
            return self._unseal_many(template_ids, dict(zip(wanted, rows, strict=True)), decode)
        with reporting_failures("get_many"):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for template_id in wanted:
                    pipeline.hmget(self._template_key(template_id), fields)
                rows = await pipeline.execute()
        return await asyncio.to_thread(self._unseal_many, template_ids, dict(zip(wanted, rows, strict=True)), decode)

    async def get_material(self, template_id: str) -> SampleMaterial:
        _, key, sealed = await self._read(template_id, "material")
        return await asyncio.to_thread(self._unseal_material, template_id, key, sealed)

    async def put(self, template: Template, set_key: str, material: SampleMaterial) -> Template:
        name = self._template_key(template.template_id)
        data_key = DataKey.new()
        names = [self._set_index_key(set_key), name, self._set_claim_key(set_key)]
        if template.subject is not None:
            names.append(keys.subject_index_key(self._tenant, self._sealer.blind(template.subject)))
        sealed_material = await off_loop(
            _MATERIAL_BYTES * len(material.samples), lambda: data_key.seal(encode_material(material), _MATERIAL)
        )
        with reporting_failures("put"):
            kept = await self._put(
                keys=names,
                args=[
                    self._template_key(""),
                    template.template_id,
                    self._retention.template_ttl_s * 1000,
                    data_key.wrap(self._sealer, name),
                    data_key.seal(encode_template(template), _TEMPLATE),
                    sealed_material,
                    _LAYOUT,
                ],
            )
        return template if kept is None else self._unseal_found(kept)

    async def ids(self) -> AsyncIterator[str]:
        """Of every template that is there."""
        prefix = self._template_key("")
        with reporting_failures():
            async for name in self._redis.scan_iter(match=f"{prefix}*", count=1000):
                if await self._redis.hexists(name, "sealed"):  # else a tombstone
                    yield name.decode("ascii").removeprefix(prefix)

    async def list_page(self, cursor: int, limit: int) -> tuple[list[Template], int]:
        prefix = self._template_key("")
        found: list[str] = []
        with reporting_failures("list"):
            for _ in range(_MOST_SCANS):
                cursor, names = await self._redis.scan(cursor, match=f"{prefix}*", count=limit)
                found += [cast(bytes, name).decode("ascii").removeprefix(prefix) for name in names]
                if cursor == 0 or len(found) >= limit:
                    break
        kept = await self.get_many(found)  # Of an erased one nothing is left but its id.
        return [template for template in kept.values() if isinstance(template, Template)], cursor

    async def expire(self, template_id: str, seconds: float) -> Template:
        _, key, sealed = await self._read(template_id, "sealed")
        old = self._unseal(template_id, key, sealed)
        expires_at = time.time() + seconds
        if expires_at >= old.expires_at:
            return old
        new = replace(old, expires_at=expires_at)
        name = self._template_key(template_id)
        resealed = self._data_key(name, key).seal(encode_template(new), _TEMPLATE)
        with reporting_failures("expire"):
            done = await self._expire(keys=[name], args=[sealed, resealed, max(1, round(seconds * 1000)), template_id])
        # Else it was erased, upgraded or given another end meanwhile.
        return new if done else await self.get(template_id)

    async def replace(self, old: Template, new: Template, set_key: str) -> bool:
        """Put `new` where `old` is, under the same id and data key; False where `old` is not there any more."""
        name = self._template_key(old.template_id)
        _, key, sealed = await self._read(old.template_id, "sealed")
        if encode_template(self._unseal(old.template_id, key, sealed)) != encode_template(old):
            return False
        resealed = self._data_key(name, key).seal(encode_template(new), _TEMPLATE)
        with reporting_failures("replace"):
            done = await self._replace(
                keys=[name, self._set_index_key(set_key)], args=[sealed, resealed, old.template_id]
            )
        return bool(done)

    async def erase(self, template_id: str) -> None:
        template = await self.get(template_id)
        with reporting_failures("erase"):
            erased = await self._erase(
                keys=[
                    self._template_key(template_id),
                    keys.failures_key(self._tenant, template_id),
                    *self._cache.names(template.sample_digests, template.fingerprint),
                ],
                args=[template_id, self._retention.tombstone_ttl_s * 1000],
            )
        if not erased:
            raise absent_template(template_id, _LAYOUT)

    async def list_subject(self, subject: str) -> list[Template]:
        listed: list[str] = []
        with reporting_failures("list"):
            for blinded in self._sealer.blind_each(subject):
                found = await self._list(keys=[keys.subject_index_key(self._tenant, blinded)])
                listed += [template_id.decode("ascii") for template_id in found]
        kept = await self.get_many(listed)
        return [template for template in kept.values() if isinstance(template, Template)]

    async def get_embeddings(
        self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy
    ) -> dict[str, EmbeddedSample]:
        return await self._cache.get(digests, fingerprint, face_policy)

    async def put_embeddings(
        self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy
    ) -> None:
        await self._cache.put(samples, fingerprint, face_policy)

    async def ping(self) -> StoreCondition:
        began = time.time()
        with reporting_failures("ping"):
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.time()
                pipeline.info("memory")
                pipeline.info("persistence")
                pipeline.get(keys.PROBE_KEY)
                # Who has another key writes something else.
                pipeline.set(keys.PROBE_KEY, self._sealer.blind(keys.PROBE_KEY), ex=_PROBE_TTL_S)
                (seconds, microseconds), memory, persistence, probe, _ = await pipeline.execute()
        ended = time.time()
        policy = memory.get("maxmemory_policy")
        if memory.get("maxmemory") and policy != "noeviction":
            raise StoreUnavailableError(
                f"The store evicts templates when its memory is full (maxmemory-policy {policy}); set noeviction."
            )
        saved = {persistence.get("rdb_last_bgsave_status", "ok"), persistence.get("aof_last_write_status", "ok")}
        return StoreCondition(
            latency_s=ended - began,
            used_bytes=int(memory.get("used_memory", 0)),
            limit_bytes=int(memory.get("maxmemory", 0)) or None,
            # Its clock was read about in the middle.
            clock_skew_s=(began + ended) / 2 - (int(seconds) + int(microseconds) / 1e6),
            saves=saved == {"ok"},
            same_key=self._is_ours(probe),
        )

    def _is_ours(self, probe: bytes | None) -> bool | None:
        """Whether it was written under a key of this ring."""
        return None if probe is None else probe.decode("ascii", "replace") in self._sealer.blind_each(keys.PROBE_KEY)

    async def _read(self, template_id: str, part: str) -> tuple[bytes, bytes, bytes]:
        """Layout, wrapped key and a sealed part. Raises `TemplateNotFoundError`, `TemplateErasedError`."""
        if _TEMPLATE_ID.fullmatch(template_id) is None:
            raise absent_template(template_id, None)
        with reporting_failures("get"):
            layout, key, sealed = await self._redis.hmget(self._template_key(template_id), ["layout", "key", part])
        if isinstance(layout, bytes) and isinstance(key, bytes) and isinstance(sealed, bytes):
            return layout, key, sealed
        if isinstance(sealed, bytes):
            raise StoreUnavailableError("The stored template has a layout that this service does not know.")
        raise absent_template(template_id, layout)

    def _unseal_many(
        self,
        template_ids: Sequence[str],
        found: Mapping[str, Sequence[bytes | None]],
        decode: Callable[[bytes], _Decoded],
    ) -> dict[str, _Decoded | RequestError]:
        templates: dict[str, _Decoded | RequestError] = {}
        for template_id in template_ids:
            layout, key, sealed = found.get(template_id, (None, None, None))
            templates[template_id] = (
                absent_template(template_id, layout)
                if key is None or sealed is None
                else self._unseal_as(decode, template_id, key, sealed)
            )
        return templates

    def _unseal_found(self, found: Sequence[bytes]) -> Template:
        template_id, key, sealed = found
        return self._unseal(template_id.decode("ascii"), key, sealed)

    def _unseal(self, template_id: str, key: bytes, sealed: bytes) -> Template:
        return self._unseal_as(decode_template, template_id, key, sealed)

    def _unseal_as(self, decode: Callable[[bytes], _Decoded], template_id: str, key: bytes, sealed: bytes) -> _Decoded:
        try:
            template = decode(self._open(template_id, key, sealed, _TEMPLATE))
        except FrameError as error:
            raise _unreadable(error) from error
        if template.template_id != template_id:
            raise StoreUnavailableError("The store holds another template under this id.")
        return template

    def _unseal_material(self, template_id: str, key: bytes, sealed: bytes) -> SampleMaterial:
        try:
            return decode_material(self._open(template_id, key, sealed, _MATERIAL))
        except FrameError as error:
            raise _unreadable(error) from error

    def _open(self, template_id: str, key: bytes, sealed: bytes, part: str) -> bytes:
        try:
            return self._data_key(self._template_key(template_id), key).unseal(sealed, part)
        except UnsealingError as error:
            raise _unreadable(error) from error

    def _data_key(self, name: str, wrapped: bytes) -> DataKey:
        return DataKey.unwrap(wrapped, self._sealer, name)

    def _template_key(self, template_id: str) -> str:
        return keys.template_key(self._tenant, template_id)

    def _set_index_key(self, set_key: str) -> str:
        return keys.set_index_key(self._tenant, self._sealer.blind(set_key))

    def _set_claim_key(self, set_key: str) -> str:
        return keys.set_claim_key(self._tenant, self._sealer.blind(set_key))


async def kept_tenants(redis: Redis) -> set[str]:
    """Those of whom there is a template. Raises `StoreUnavailableError`."""
    pattern = keys.template_key("*", "*")
    prefix, _, rest = pattern.partition("*")
    suffix = rest.removesuffix("*")
    with reporting_failures():
        names = [name.decode("ascii") async for name in redis.scan_iter(match=pattern, count=1000)]
    return {name.removeprefix(prefix).partition(suffix)[0] for name in names}


def _unreadable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"The stored template cannot be opened with this deployment's keys. {error}")
