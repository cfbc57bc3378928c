"""What a queue server does for one set: its thread's CPU by byte, and the bytes that go through it in a second.

The commands are those of `service.engine.streams`, in the order of a set's way: added, read by a worker, answered and
removed, the answer read and removed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from dataclasses import dataclass

from redis.asyncio import Redis

from service.capacity.fitting import fit_cost
from service.capacity.profile import Cost
from service.engine import streams
from service.store.connection import connect_redis

_SIZES = (1_000, 150_000)
"""Bytes of a set; the second is also what the throughput is measured with."""
_WAYS = 4
"""At once, so that the server is kept busy."""
_ANSWER = {b"i": b"0" * 32, b"p": bytes(4_000)}
_TIMEOUT_S = 10.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class QueueFigures:
    cost: Cost
    """CPU of the server's thread for the way of one set, by byte."""
    client: Cost
    """CPU of this process for the same commands, by byte: what a worker and an API process spend on them together."""
    sets_per_s: float
    """Of 150 KB, on the loopback interface or whatever lies between."""
    bytes_per_s: float
    """The same in bytes: each goes in and out once."""


async def measure_queue(url: str, sets: int = 600) -> QueueFigures:
    """With so many sets of each size, on streams of its own, which are removed."""
    redis = connect_redis(url, timeout_s=_TIMEOUT_S)
    try:
        await _pass_sets(redis, _SIZES[0], sets)  # connections are made, scripts are warm
        passed = {size: await _pass_sets(redis, size, sets) for size in _SIZES}
    finally:
        await redis.aclose()
    rate = sets / passed[_SIZES[-1]].elapsed_s
    return QueueFigures(
        cost=fit_cost({size: [each.server_s] for size, each in passed.items()}),
        client=fit_cost({size: [each.client_s] for size, each in passed.items()}),
        sets_per_s=rate,
        bytes_per_s=rate * _SIZES[-1],
    )


@dataclass(frozen=True, slots=True)
class _Passed:
    server_s: float
    """CPU for one set."""
    client_s: float
    """CPU for one set."""
    elapsed_s: float
    """For all."""


async def _pass_sets(redis: Redis, size: int, sets: int) -> _Passed:
    server_s, client_s, began = await _cpu_seconds(redis), time.thread_time(), time.perf_counter()
    await asyncio.gather(*(_pass_in_turn(redis, size, sets // _WAYS) for _ in range(_WAYS)))
    elapsed_s, client_s = time.perf_counter() - began, time.thread_time() - client_s
    return _Passed((await _cpu_seconds(redis) - server_s) / sets, client_s / sets, elapsed_s)


async def _pass_in_turn(redis: Redis, size: int, count: int) -> None:
    number = next(_numbers)
    jobs, replies = (f"coreface:bench:{number}:{name}" for name in ("jobs", "replies"))
    await streams.ensure_group(redis, jobs)
    payload = os.urandom(size)
    try:
        for _ in range(count):
            await streams.append(redis, jobs, {b"i": b"0" * 32, b"p": payload})
            (entry,) = await streams.read_new(redis, jobs, "bench", count=32, block_s=1.0)
            await streams.server_now_ms(redis)
            await streams.reply_and_finish(redis, jobs, entry.entry_id, replies, _ANSWER, reply_ttl_s=60)
            (answer,) = await streams.read_from_front(redis, replies, count=64, block_s=1.0)
            await redis.xdel(replies, answer.entry_id)
    finally:
        await redis.delete(jobs, replies)


async def _cpu_seconds(redis: Redis) -> float:
    """Of the thread that does the commands."""
    used = await redis.info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])
