"""The stream commands that the engine uses, with the types of what they answer (RESP2, bytes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from service.store.keys import WORKER_GROUP


@dataclass(frozen=True, slots=True)
class StreamEntry:
    entry_id: bytes
    fields: Mapping[bytes, bytes] = field(repr=False)

    @property
    def written_ms(self) -> int:
        """When the server took it, Unix milliseconds by its clock."""
        return int(self.entry_id.split(b"-")[0])


@dataclass(frozen=True, slots=True)
class AbandonedEntry:
    """An entry that was delivered, and that its consumer has not touched for a while."""

    entry_id: bytes
    deliveries: int
    """How often it was delivered so far."""


async def append(redis: Redis, stream: str, fields: Mapping[bytes, bytes]) -> bytes:
    """Add an entry; answers its id."""
    entry_id: Any = await redis.xadd(stream, _command_fields(fields))
    return bytes(entry_id)


async def read_from_front(redis: Redis, stream: str, *, count: int, block_s: float) -> list[StreamEntry]:
    """The oldest entries; waits for the first one."""
    found: Any = await redis.xread({stream: "0"}, count=count, block=int(block_s * 1000))
    return _entries(found)


async def ensure_group(redis: Redis, stream: str) -> None:
    """Make the workers' group, from the oldest entry on, unless it is there."""
    try:
        await redis.xgroup_create(stream, WORKER_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


async def read_new(redis: Redis, stream: str, consumer: str, *, count: int, block_s: float) -> list[StreamEntry]:
    """Entries that no worker has had yet; waits for the first one."""
    found: Any = await redis.xreadgroup(WORKER_GROUP, consumer, {stream: ">"}, count=count, block=int(block_s * 1000))
    return _entries(found)


async def find_abandoned(redis: Redis, stream: str, *, idle_s: float) -> AbandonedEntry | None:
    """The oldest entry that a worker took and has not touched for `idle_s` seconds."""
    found: Any = await redis.xpending_range(stream, WORKER_GROUP, min="-", max="+", count=1, idle=int(idle_s * 1000))
    return AbandonedEntry(found[0]["message_id"], found[0]["times_delivered"]) if found else None


async def is_with_worker(redis: Redis, stream: str, entry_id: bytes) -> bool:
    """Whether the entry was delivered and not finished."""
    try:
        return bool(await redis.xpending_range(stream, WORKER_GROUP, min=entry_id, max=entry_id, count=1))
    except ResponseError as error:
        if not is_missing_group(error):
            raise
        return False


async def claim(redis: Redis, stream: str, consumer: str, entry_id: bytes, *, idle_s: float) -> StreamEntry | None:
    """Take an abandoned entry over; None where another worker was first, or it is gone."""
    found: Any = await redis.xclaim(stream, WORKER_GROUP, consumer, int(idle_s * 1000), [entry_id])
    return StreamEntry(*found[0]) if found else None


async def keep(redis: Redis, stream: str, consumer: str, entry_ids: Sequence[bytes]) -> None:
    """Say that these entries are still being worked on."""
    await redis.xclaim(stream, WORKER_GROUP, consumer, 0, list(entry_ids), justid=True)


async def finish(redis: Redis, stream: str, entry_id: bytes) -> None:
    """Remove an entry that needs no answer."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.xack(stream, WORKER_GROUP, entry_id)
        pipeline.xdel(stream, entry_id)
        await pipeline.execute()


async def reply_and_finish(
    redis: Redis, stream: str, entry_id: bytes, reply_stream: str, fields: Mapping[bytes, bytes], *, reply_ttl_s: float
) -> None:
    """Answer an entry and remove it, both or neither. The reply stream lives `reply_ttl_s` seconds from here on."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.xadd(reply_stream, _command_fields(fields))
        pipeline.pexpire(reply_stream, int(reply_ttl_s * 1000))
        pipeline.xack(stream, WORKER_GROUP, entry_id)
        pipeline.xdel(stream, entry_id)
        await pipeline.execute()


async def server_now_ms(redis: Redis) -> int:
    """Unix milliseconds by the server's clock, which also stamps the entries."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def is_missing_group(error: Exception) -> bool:
    """Whether the server lost the stream or its group (it was emptied, or restarted without its data)."""
    return isinstance(error, ResponseError) and str(error).startswith("NOGROUP")


def _command_fields(fields: Mapping[bytes, bytes]) -> dict[Any, Any]:
    return dict(fields)


def _entries(found: Any) -> list[StreamEntry]:
    return [StreamEntry(entry_id, fields) for _stream, entries in found or [] for entry_id, fields in entries]
