"""How workers say that they are there: a set of ids, and per id a key that the server lets expire."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from service.store import keys

KEY_MARK = "sealing key"
"""What processes blind to see whether they have the same key."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker says of itself."""

    worker_id: str
    fingerprint: str
    providers: tuple[str, ...]
    slots: int
    """Sets that it takes at once."""
    pid: int
    version: str
    key_mark: str = ""
    """What only holders of its sealing key can compute; empty: it does not say."""


async def beat(redis: Redis, heartbeat: Heartbeat, ttl_s: float) -> None:
    """Be seen for the next `ttl_s` seconds."""
    body = {
        "providers": heartbeat.providers,
        "slots": heartbeat.slots,
        "pid": heartbeat.pid,
        "version": heartbeat.version,
        "key_mark": heartbeat.key_mark,
    }
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.sadd(keys.worker_set_key(heartbeat.fingerprint), heartbeat.worker_id)
        pipeline.set(
            keys.worker_key(heartbeat.fingerprint, heartbeat.worker_id), orjson.dumps(body), px=int(ttl_s * 1000)
        )
        await pipeline.execute()


async def retire(redis: Redis, heartbeat: Heartbeat) -> None:
    """Be seen no longer."""
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.srem(keys.worker_set_key(heartbeat.fingerprint), heartbeat.worker_id)
        pipeline.delete(keys.worker_key(heartbeat.fingerprint, heartbeat.worker_id))
        await pipeline.execute()


async def find_workers(redis: Redis, fingerprint: str) -> list[Heartbeat]:
    """The living workers of a pack, by id; forgets the dead ones."""
    members = await redis.smembers(keys.worker_set_key(fingerprint))
    worker_ids = sorted(member.decode() for member in members if isinstance(member, bytes))
    if not worker_ids:
        return []
    bodies = await redis.mget([keys.worker_key(fingerprint, worker_id) for worker_id in worker_ids])
    found: list[Heartbeat] = []
    dead: list[str] = []
    for worker_id, body in zip(worker_ids, bodies, strict=True):
        heartbeat = None if body is None else _read(worker_id, fingerprint, body)
        if heartbeat is None:
            dead.append(worker_id)
        else:
            found.append(heartbeat)
    if dead:
        # A worker that only was slow enters itself again with its next beat.
        await redis.srem(keys.worker_set_key(fingerprint), *dead)
    return found


def _read(worker_id: str, fingerprint: str, body: bytes | str) -> Heartbeat | None:
    try:
        said = orjson.loads(body)
        return Heartbeat(
            worker_id,
            fingerprint,
            tuple(said["providers"]),
            int(said["slots"]),
            said["pid"],
            said["version"],
            said.get("key_mark", ""),
        )
    except (ValueError, KeyError, TypeError):
        return None
