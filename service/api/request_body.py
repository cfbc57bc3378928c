"""The bytes of a request: refused by declared length at once, by real length while they arrive, and by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
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
long before one that sends what it can."""


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
    try:
        async with (
            asyncio.timeout_at(min(ends_at, clock() + limits.body_pace_s)) as deadline,
            aclosing(_chunks(request)) as chunks,
        ):
            received, wanted = 0, PACE_BYTES
            async for chunk in chunks:
                received += len(chunk)
                if received > limits.max_request_bytes:
                    raise _too_large(limits)
                if received >= wanted:
                    wanted = received + PACE_BYTES
                    deadline.reschedule(min(ends_at, clock() + limits.body_pace_s))
                reader.feed(chunk)
    except TimeoutError as error:
        raise SlowRequestError(
            f"The request's body came too slowly: each {PACE_BYTES} bytes have {limits.body_pace_s:g} seconds, and all "
            f"of it {limits.request_timeout_s:g}."
        ) from error


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


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk
        # A client faster than this process must not keep the other requests waiting.
        await asyncio.sleep(0)


def _too_large(limits: Limits) -> RequestTooLargeError:
    return RequestTooLargeError(f"A request holds at most {limits.max_request_bytes} bytes.")
