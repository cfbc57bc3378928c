"""Sends sets to a real site as a simulated load does: at given times, or by clients in a closed loop.

Times count from when a set was to be sent, so that a client that comes late counts against the site.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterator, Sequence

import httpx

from service.capacity.load import Arrival
from service.capacity.summary import Passage
from tests.pipeline.fakes import png

SAMPLE_BYTES = 10_000
_PREPARATION_S = 0.05
_MARK = os.urandom(8).hex().encode()
_serial = itertools.count()
_FILLING = b"." * SAMPLE_BYTES
_BOUNDARY = b"0123456789abcdef"
_HEADERS = {"content-type": f"multipart/form-data; boundary={_BOUNDARY.decode()}"}
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=512)


async def send_at(url: str, arrivals: Sequence[Arrival]) -> list[Passage]:
    """One set at each time, whatever became of those before. Seconds count from the first moment."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0, limits=_CONNECTIONS) as client:
        began = time.perf_counter()

        async def send(arrival: Arrival) -> Passage:
            await asyncio.sleep(began + arrival.at_s - _PREPARATION_S - time.perf_counter())
            body = make_set(arrival.samples)
            await asyncio.sleep(began + arrival.at_s - time.perf_counter())
            refused = await _is_refused(client, body)
            return Passage(arrival.at_s, time.perf_counter() - began, arrival.samples, refused)

        return list(await asyncio.gather(*(send(arrival) for arrival in arrivals)))


async def send_closed(url: str, clients: int, sizes: Sequence[int]) -> list[Passage]:
    """`clients` that send the next set when the last one is answered, until all have gone."""
    remaining: Iterator[int] = iter(sizes)
    passages: list[Passage] = []
    async with httpx.AsyncClient(base_url=url, timeout=60.0, limits=_CONNECTIONS) as client:
        began = time.perf_counter()

        async def send_on() -> None:
            for samples in remaining:
                came_s = time.perf_counter() - began
                refused = await _is_refused(client, make_set(samples))
                passages.append(Passage(came_s, time.perf_counter() - began, samples, refused))

        await asyncio.gather(*(send_on() for _ in range(clients)))
    return passages


def make_set(samples: int) -> bytes:
    """The body of a request with pictures that nobody sent before."""
    parts = []
    for _ in range(samples):
        picture = png(content=b"%s %d%s" % (_MARK, next(_serial), _FILLING))
        parts.append(
            b'--%s\r\ncontent-disposition: form-data; name="samples"; filename="picture"\r\n\r\n%s\r\n'
            % (_BOUNDARY, picture)
        )
    return b"".join((*parts, b"--%s--\r\n" % _BOUNDARY))


async def _is_refused(client: httpx.AsyncClient, body: bytes) -> bool:
    response = await client.post("/v1/templates", content=body, headers=_HEADERS)
    return response.status_code != 201
