"""W3C trace context (Level 1): one trace id for what a request does in the API process and in the worker."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str] = ContextVar("traceparent", default="")


def current_traceparent() -> str:
    """Of the running request; a new one outside of any."""
    return _current.get() or new_traceparent()


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


@contextmanager
def bound_trace(asked: str) -> Iterator[None]:
    """Go on with this trace, or begin one where `asked` is no traceparent; its id is in every log line of the body."""
    traceparent = asked if _TRACEPARENT.fullmatch(asked) else new_traceparent()
    token = _current.set(traceparent)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=traceparent.split("-")[1]):
            yield
    finally:
        _current.reset(token)
