from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from service.api.request_body import PACE_BYTES, read_body
from service.errors import SlowRequestError
from service.settings import Limits

PACE_S = 0.8


class Rounds:
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.now = 0

    async def run(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)


class NotingReader:
    def __init__(self, note: Callable[[bytes], None]) -> None:
        self.feed = note


def request_of(app: FastAPI, *chunks: tuple[float, bytes]) -> Request:
    """`chunks`: after so many seconds these bytes."""
    coming = list(chunks)

    async def receive() -> Message:
        seconds, body = coming.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": bool(coming)}

    return Request({"type": "http", "headers": [], "app": app}, receive)


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    made.state.body_turn = asyncio.Lock()
    return made


async def test_of_many_bodies_one_has_a_slice_in_a_round(app: FastAPI) -> None:
    rounds, fed = Rounds(), Counter[int]()
    counting = asyncio.create_task(rounds.run())
    sizes: list[int] = []

    def note(piece: bytes) -> None:
        fed[rounds.now] += 1
        sizes.append(len(piece))

    bodies = [request_of(app, (0.0, bytes(300_000)), (0.0, bytes(50_000))) for _ in range(10)]
    await asyncio.gather(*(read_body(body, NotingReader(note), Limits()) for body in bodies))
    counting.cancel()
    assert sum(sizes) == 10 * 350_000
    assert max(sizes) <= 65_536
    assert set(fed.values()) == {1}


async def test_only_the_clients_time_counts(app: FastAPI) -> None:
    limits = Limits(body_pace_s=PACE_S)
    taken: list[bytes] = []

    async def hold_the_turn() -> None:
        async with app.state.body_turn:
            await asyncio.sleep(3 * PACE_S)

    holding = asyncio.create_task(hold_the_turn())
    await asyncio.sleep(0)
    await read_body(request_of(app, (0.0, bytes(9_000)), (0.0, b"end")), NotingReader(taken.append), limits)
    assert holding.done()
    assert b"".join(taken) == bytes(9_000) + b"end"


async def test_a_small_body_waits_for_no_other(app: FastAPI) -> None:
    taken: list[bytes] = []
    async with app.state.body_turn, asyncio.timeout(5):
        await read_body(request_of(app, (0.0, b"a"), (0.0, b"b")), NotingReader(taken.append), Limits())
    assert b"".join(taken) == b"ab"


@pytest.mark.parametrize(("piece", "in_time"), [(PACE_BYTES - 1, False), (PACE_BYTES, True)])
async def test_the_pace_is_of_bytes(app: FastAPI, piece: int, in_time: bool) -> None:
    request = request_of(app, *[(0.6 * PACE_S, bytes(piece))] * 4)
    reading = read_body(request, NotingReader(lambda _piece: None), Limits(body_pace_s=PACE_S))
    if in_time:
        await reading
    else:
        with pytest.raises(SlowRequestError):
            await reading


async def test_all_of_a_body_has_the_time_of_a_request(app: FastAPI) -> None:
    request = request_of(app, *[(0.1, bytes(PACE_BYTES))] * 8)
    with pytest.raises(SlowRequestError):
        await read_body(request, NotingReader(lambda _piece: None), Limits(request_timeout_s=0.35))
