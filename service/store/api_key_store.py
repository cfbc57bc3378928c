"""API keys in Redis, sealed: names, tenants and scopes are nobody's business who has a copy of the store."""

from __future__ import annotations

from redis.asyncio import Redis

from service.access.api_keys import ApiKey, Secret
from service.access.callers import Scope
from service.errors import StoreUnavailableError
from service.store import keys
from service.store.failures import reporting_failures
from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.sealing import KeyRing, PayloadSealer, SealingPurpose, UnsealingError

_RECORD = 1
"""Version of the layout; an unknown one is refused."""
_FIELDS = 9
_SECRET_FIELDS = 2


class RedisApiKeyStore:
    """Every method raises `StoreUnavailableError`."""

    def __init__(self, redis: Redis, ring: KeyRing) -> None:
        self._redis = redis
        self._sealer = PayloadSealer(ring, SealingPurpose.API_KEYS)

    async def get(self, key_id: str) -> ApiKey | None:
        with reporting_failures("get_api_key"):
            sealed = await self._redis.get(keys.api_key_key(key_id))
        return self._open(key_id, sealed) if isinstance(sealed, bytes) else None

    async def put(self, key: ApiKey) -> None:
        """Make it, or take its place."""
        name = keys.api_key_key(key.key_id)
        record = self._sealer.seal(_encode(key), name)
        ends_at_ms = None if key.expires_at is None else int(key.expires_at * 1000)
        with reporting_failures():
            await self._redis.set(name, record, pxat=ends_at_ms)

    async def remove(self, key_id: str) -> bool:
        """Whether it was there."""
        with reporting_failures():
            return bool(await self._redis.delete(keys.api_key_key(key_id)))

    async def list(self) -> list[ApiKey]:
        """All that live, the oldest first."""
        prefix = keys.api_key_key("")
        found: list[ApiKey] = []
        with reporting_failures():
            async for name in self._redis.scan_iter(match=f"{prefix}*", count=1000):
                key = await self.get(name.decode("ascii").removeprefix(prefix))
                if key is not None:
                    found.append(key)
        return sorted(found, key=lambda key: key.created_at)

    def _open(self, key_id: str, sealed: bytes) -> ApiKey:
        try:
            key = _decode(self._sealer.unseal(sealed, keys.api_key_key(key_id)))
        except (UnsealingError, FrameError, ValueError) as error:
            raise StoreUnavailableError(
                f"The record of API key {key_id} cannot be opened with this deployment's keys. {error}"
            ) from error
        if key.key_id != key_id:
            raise StoreUnavailableError("The store holds another API key under this id.")
        return key


def _encode(key: ApiKey) -> bytes:
    return pack_frame(
        [
            _RECORD,
            key.key_id,
            key.name,
            key.tenant,
            sorted(scope.value for scope in key.scopes),
            key.images_per_day,
            key.created_at,
            key.expires_at,
            [[secret.digest, secret.expires_at] for secret in key.secrets],
        ]
    )


def _decode(frame: bytes) -> ApiKey:
    reader = FrameReader.unpack(frame, _FIELDS)
    if reader.integer() != _RECORD:
        raise FrameError("The API key has an unknown layout.")
    return ApiKey(
        key_id=reader.text(),
        name=reader.text(),
        tenant=reader.text(),
        scopes=frozenset(Scope(scope) for scope in reader.many(FrameReader.text)),
        images_per_day=reader.optional(FrameReader.integer),
        created_at=reader.number(),
        expires_at=reader.optional(FrameReader.number),
        secrets=tuple(Secret(row.data(), row.optional(FrameReader.number)) for row in reader.rows(_SECRET_FIELDS)),
    )
