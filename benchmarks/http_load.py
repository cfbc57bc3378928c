"""A cheap HTTP client that loads a server, in a process of its own: requests are bytes, answers are counted.

Client and server share the machine, so the client's processor time is measured and told with every result.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Protocol


class RequestSource(Protocol):
    """Makes the requests; sent to the client's process, so it must be picklable."""

    def request(self, number: int) -> bytes:
        """The `number`-th HTTP/1.1 request, head and body."""
        ...


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of one load."""

    seconds: tuple[float, ...]
    """Of each answered request; of an open load from the time at which it was to be sent."""
    elapsed_s: float
    client_cpu_s: float
    failed: int
    """Answers that were no success."""

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.elapsed_s

    @property
    def p50_ms(self) -> float:
        return 1e3 * statistics.median(self.seconds)

    @property
    def p99_ms(self) -> float:
        return 1e3 * quantile(self.seconds, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of them that is at least as large as `share` of all."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def closed_load(port: int, source: RequestSource, *, concurrency: int, seconds: float) -> LoadResult:
    """`concurrency` connections that send the next request when the last one is answered."""
    return _apart(_closed, port, source, concurrency, seconds)


def open_load(port: int, source: RequestSource, *, per_second: float, seconds: float) -> LoadResult:
    """Requests at Poisson times, whatever became of those before."""
    return _apart(_open, port, source, per_second, seconds)


def _apart(load: object, *arguments: object) -> LoadResult:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        result: LoadResult = pool.submit(_run, load, *arguments).result()
    return result


def _run(load, *arguments):  # type: ignore[no-untyped-def]
    return asyncio.run(load(*arguments))


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def send(self, request: bytes) -> bool:
        """Whether the answer is a success."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.partition(b":")[2]))
        return head.startswith(b"HTTP/1.1 2")

    def close(self) -> None:
        self._writer.close()


async def _closed(port: int, source: RequestSource, concurrency: int, seconds: float) -> LoadResult:
    numbers = itertools.count()
    taken: list[float] = []
    failed = 0
    began, cpu_began = time.perf_counter(), time.process_time()

    async def go_on() -> None:
        nonlocal failed
        connection = await _Connection.open(port)
        while time.perf_counter() < began + seconds:
            request = source.request(next(numbers))
            sent = time.perf_counter()
            failed += not await connection.send(request)
            taken.append(time.perf_counter() - sent)
        connection.close()

    await asyncio.gather(*(go_on() for _ in range(concurrency)))
    return LoadResult(tuple(taken), time.perf_counter() - began, time.process_time() - cpu_began, failed)


async def _open(port: int, source: RequestSource, per_second: float, seconds: float) -> LoadResult:
    rng = random.Random(0)
    idle: list[_Connection] = []
    taken: list[float] = []
    failed = 0
    times = list(
        itertools.takewhile(
            lambda at: at < seconds, itertools.accumulate(iter(lambda: rng.expovariate(per_second), None))
        )
    )
    began, cpu_began = time.perf_counter(), time.process_time()

    async def send(number: int, at: float) -> None:
        nonlocal failed
        request = source.request(number)
        await asyncio.sleep(began + at - time.perf_counter())
        connection = idle.pop() if idle else await _Connection.open(port)
        failed += not await connection.send(request)
        taken.append(time.perf_counter() - began - at)
        idle.append(connection)

    tasks = []
    for number, at in enumerate(times):
        await asyncio.sleep(began + at - 0.05 - time.perf_counter())
        tasks.append(asyncio.create_task(send(number, at)))
    await asyncio.gather(*tasks)
    return LoadResult(tuple(taken), time.perf_counter() - began, time.process_time() - cpu_began, failed)
