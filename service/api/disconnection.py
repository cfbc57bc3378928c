"""Work for a client that has gone is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Answer = TypeVar("Answer")

_CANCEL_AGAIN_S = 0.05


async def run_while_connected(request: Request, work: Coroutine[None, None, Answer]) -> Answer:
    """The outcome of `work`; cancels it when the client hangs up. The request's body must have been read.

    Raises `ClientDisconnect`, and what `work` raises.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_wait_for_disconnection(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        await _end(working)
        await _end(watching)


async def _end(task: asyncio.Future[Any]) -> None:
    # Once is not enough: `asyncio.wait_for` of Python 3.11 loses a cancellation that meets a finished send, and the
    # Redis client sends through it.
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()  # looked at here, so that it is not reported as forgotten


async def _wait_for_disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
