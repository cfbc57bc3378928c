"""Crowds that send headers and bodies a byte at a time: each is let go within ten seconds, and nobody else waits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site

MOST_HELD_S = 10.0
_HEADER = b"POST /v1/templates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_WAYS = {
    "headers": (_HEADER, b"X"),
    "bodies": (_HEADER + b"Content-Length: 100000\r\n\r\n", b" "),
    "bodies that nobody reads": (
        _HEADER.replace(b"application/json", b"text/plain") + b"Content-Length: 99\r\n\r\n",
        b" ",
    ),
}
_DROP_S = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """One slow connection."""

    way: str
    seconds: float
    status: str
    """As it was told; empty where it was told nothing."""


def test_crowds_of_slow_clients_are_let_go_and_others_are_served(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    url = site.api_urls[0]
    each, seconds = count(30, 500), count(12, 60)
    with CanaryClients(url, senders=2) as honest:
        honest.wait_for(20)
        held = asyncio.run(_crowd(url, each, seconds))
    measured(
        slow_connections=f"{len(held)} in {seconds} s, {each} at once of each way: {', '.join(_WAYS)}",
        longest_held_s={way: f"{max(one.seconds for one in held if one.way == way):.1f}" for way in _WAYS},
        told=dict(Counter(f"{one.way}: {one.status or 'nothing'}" for one in held)),
        honest=f"{len(honest.outcomes)} requests, {len(honest.failures)} failed",
        honest_ms=quantiles_ms([outcome.seconds for outcome in honest.outcomes]),
    )
    assert max(one.seconds for one in held) < MOST_HELD_S
    assert {(one.way, one.status) for one in held} == {
        ("headers", "408"),
        ("bodies", "408"),
        ("bodies that nobody reads", "415"),
    }
    assert honest.failures == []
    assert len(honest.outcomes) > 20 + seconds


async def _crowd(url: str, each: int, seconds: float) -> list[Held]:
    """Of each way so many at any time; who is let go comes again until the time is over."""
    ends_at = time.monotonic() + seconds
    crowds = await asyncio.gather(*(_come_again(url, way, ends_at) for way in _WAYS for _ in range(each)))
    return [held for crowd in crowds for held in crowd]


async def _come_again(url: str, way: str, ends_at: float) -> list[Held]:
    held = [await _hold(url, way)]
    while time.monotonic() < ends_at:
        held.append(await _hold(url, way))
    return held


async def _hold(url: str, way: str) -> Held:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    began = time.monotonic()
    head, drop = _WAYS[way]
    answer = asyncio.create_task(_read_all(reader))
    writer.write(head)
    while not answer.done():
        await asyncio.wait((answer,), timeout=_DROP_S)
        if not answer.done():
            writer.write(drop)
    seconds = time.monotonic() - began
    writer.close()
    return Held(way, seconds, answer.result()[9:12].decode())


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """Until it is closed, in whatever way."""
    received = b""
    try:
        while data := await reader.read(65536):
            received += data
    except ConnectionError:
        pass
    return received
