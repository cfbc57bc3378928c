"""Answers by the idempotency key that they were asked for under, in Redis or Valkey.

Under one name lies first the claim of whoever works on the answer, and then the answer. It is sealed twice: under a key
made of the wrapped data keys of the templates that it tells of, and with their ids under the deployment's. Once one of
the templates is erased, the answer opens with nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from service.errors import IdempotencyKeyReusedError, StoreUnavailableError
from service.kept_answers import KeptAnswer
from service.store import keys, scripts
from service.store.claims import CLAIM_LIFE_S, Claim, Claims, new_claim
from service.store.data_keys import DataKey
from service.store.failures import absent_template, reporting_failures
from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.sealing import KeyRing, PayloadSealer, SealingPurpose, UnsealingError
from service.types import DEFAULT_TENANT

ANSWER_RECORD = 1
"""Version of the layout; an unknown one is refused."""
_RECORD_FIELDS = 4
_ANSWER_FIELDS = 4
_PART = "answer"


class RedisAnswerStore:
    """The `AnswerStore` of the service, for one tenant."""

    def __init__(
        self,
        redis: Redis,
        ring: KeyRing,
        ttl_s: int,
        *,
        tenant: str = DEFAULT_TENANT,
        claim_life_s: float = CLAIM_LIFE_S,
    ) -> None:
        self._redis = redis
        self._tenant = tenant
        self._sealer = PayloadSealer(ring, SealingPurpose.ANSWERS)
        self._ttl_s = ttl_s
        self._claims = Claims(redis, life_s=claim_life_s)
        self._keep = redis.register_script(scripts.KEEP)

    @asynccontextmanager
    async def claim_answer(self, key: str, request_digest: str, wait_s: float) -> AsyncIterator[KeptAnswer | None]:
        name = self._name(key)
        mark = f"{scripts.CLAIM_MARK}{self._sealer.blind(request_digest)}:"
        value = new_claim(mark)

        async def find_or_claim() -> KeptAnswer | Claim:
            with reporting_failures("claim_answer"):
                held = await self._redis.set(name, value, nx=True, get=True, px=self._claims.life_ms)
            if not isinstance(held, bytes) or held == value.encode():
                return Claim.OURS
            if not held.startswith(scripts.CLAIM_MARK.encode()):
                return await self._open(name, held, request_digest)
            if not held.startswith(mark.encode()):
                raise _reused()
            return Claim.OTHERS

        async with self._claims.outcome_or_turn(name, value, find_or_claim, wait_s) as kept:
            yield kept

    async def put_answer(self, key: str, request_digest: str, answer: KeptAnswer) -> KeptAnswer:
        name = self._name(key)
        template_keys = [wrapped or b"" for _, wrapped in await self._template_keys(answer.template_ids)]
        record = await asyncio.to_thread(self._seal, name, request_digest, answer, template_keys)
        with reporting_failures("put_answer"):
            kept = await self._keep(keys=[name], args=[record, self._ttl_s * 1000])
        return answer if kept is None else await self._open(name, kept, request_digest)

    def _name(self, key: str) -> str:
        return keys.answer_key(self._tenant, self._sealer.blind(key))

    async def _template_keys(self, template_ids: Sequence[str]) -> list[tuple[bytes | None, bytes | None]]:
        """Layout and wrapped data key of each; no key where it was erased, nothing where it expired."""
        if not template_ids:
            return []
        with reporting_failures("get_keys"):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for template_id in template_ids:
                    pipeline.hmget(keys.template_key(self._tenant, template_id), ["layout", "key"])
                return [(layout, wrapped) for layout, wrapped in await pipeline.execute()]

    def _seal(self, name: str, request_digest: str, answer: KeptAnswer, template_keys: Sequence[bytes]) -> bytes:
        inner = _inner_key(template_keys).seal(_encode(answer), _PART)
        frame = pack_frame([ANSWER_RECORD, request_digest, list(answer.template_ids), inner])
        return self._sealer.seal(frame, name)

    async def _open(self, name: str, record: bytes, request_digest: str) -> KeptAnswer:
        try:
            frame = await asyncio.to_thread(self._sealer.unseal, record, name)
            reader = FrameReader.unpack(frame, _RECORD_FIELDS)
            if reader.integer() != ANSWER_RECORD:
                raise FrameError("The answer has an unknown layout.")
            if reader.text() != request_digest:
                raise _reused()
            template_ids = reader.many(FrameReader.text)
            found = await self._template_keys(template_ids)
            for template_id, (layout, wrapped) in zip(template_ids, found, strict=True):
                if wrapped is None:
                    raise absent_template(template_id, layout)
            inner_key = _inner_key([wrapped for _, wrapped in found if wrapped is not None])
            return _decode(inner_key.unseal(reader.data(), _PART), template_ids)
        except (UnsealingError, FrameError) as error:
            raise StoreUnavailableError(
                f"The answer that is kept under this idempotency key cannot be opened. {error}"
            ) from error


def _inner_key(template_keys: Sequence[bytes]) -> DataKey:
    return DataKey(hashlib.sha256(b"".join(template_keys)).digest())


def _encode(answer: KeptAnswer) -> bytes:
    return pack_frame([answer.status, answer.code, answer.location, answer.body])


def _decode(frame: bytes, template_ids: tuple[str, ...]) -> KeptAnswer:
    reader = FrameReader.unpack(frame, _ANSWER_FIELDS)
    return KeptAnswer(
        status=reader.integer(),
        code=reader.optional(FrameReader.text),
        location=reader.optional(FrameReader.text),
        body=reader.data(),
        template_ids=template_ids,
    )


def _reused() -> IdempotencyKeyReusedError:
    return IdempotencyKeyReusedError("This idempotency key was sent with another request; make a new one for each.")
