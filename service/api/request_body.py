"""The bytes of a request: refused by declared length at once, by real length while they arrive, and by time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Protocol

from fastapi import Request

from service.errors import (
    InvalidRequestError,
    RequestTooLargeError,
    SlowRequestError,
    UnsupportedContentTypeError,
)
from service.settings import Limits

PACE_BYTES = 5_000
"""Of a body, each so many further bytes have `Limits.body_pace_s` to arrive: a client that stands still is given up
long before one that sends what it can. What the service itself takes does not count."""
_SLICE_BYTES = 64 * 1024
"""What a reader takes a millisecond for at most, or so."""
_SMALL_BYTES = 4 * 1024


class BodyReader(Protocol):
    """Takes a body piece by piece. Raises what `service.errors` has for a bad one."""

    def feed(self, chunk: bytes) -> None: ...


async def read_body(request: Request, reader: BodyReader, limits: Limits) -> None:
    """Feed the whole body to `reader`.

    Raises `RequestTooLargeError`, `SlowRequestError`, `UnsupportedContentTypeError` (a compressed body), what the
    reader raises, and Starlette's `ClientDisconnect`.
    """
    refuse_by_headers(request, limits)
    clock = asyncio.get_running_loop().time
    ends_at = clock() + limits.request_timeout_s
    received, wanted, patience_s = 0, PACE_BYTES, limits.body_pace_s
    async with aclosing(request.stream()) as chunks:
        while True:
            waits_from = clock()
            try:
                async with asyncio.timeout_at(min(ends_at, waits_from + patience_s)):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise _too_slow(limits) from error
            if chunk is None:
                return
            patience_s -= clock() - waits_from
            received += len(chunk)
            if received > limits.max_request_bytes:
                raise _too_large(limits)
            if received >= wanted:
                wanted, patience_s = received + PACE_BYTES, limits.body_pace_s
            await _feed(reader, chunk, request.app.state.body_turn)


async def _feed(reader: BodyReader, chunk: bytes, turn: asyncio.Lock) -> None:
    """Slice by slice, and one body at a time: of many that arrive together each would have its slice in the same round
    of the event loop, and whoever sends none would wait for all of them. What is small waits for nobody."""
    if len(chunk) <= _SMALL_BYTES:
        reader.feed(chunk)
        return
    for start in range(0, len(chunk), _SLICE_BYTES):
        async with turn:
            reader.feed(chunk[start : start + _SLICE_BYTES])
            await asyncio.sleep(0)  # a round in which no other body has a slice


def refuse_by_headers(request: Request, limits: Limits) -> None:
    """What can be refused before a byte of the body is read."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedContentTypeError("Send the body uncompressed: no Content-Encoding is understood.")
    declared = request.headers.get("content-length")
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit()):
        raise InvalidRequestError("The Content-Length header is no number.")
    if int(declared[:20]) > limits.max_request_bytes:
        raise _too_large(limits)


def _too_slow(limits: Limits) -> SlowRequestError:
    return SlowRequestError(
        f"The request's body came too slowly: each {PACE_BYTES} bytes have {limits.body_pace_s:g} seconds, and all of "
        f"it {limits.request_timeout_s:g}."
    )


def _too_large(limits: Limits) -> RequestTooLargeError:
    return RequestTooLargeError(f"A request holds at most {limits.max_request_bytes} bytes.")
