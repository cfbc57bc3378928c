"""What ties together the lines and spans of one request, in the API process and in the worker: its id, and the id of
its trace (W3C trace context, Level 1)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from service.observability import tracing

TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_current_trace: ContextVar[str] = ContextVar("traceparent", default="")
_current_request_id: ContextVar[str] = ContextVar("request_id", default="")


def is_safe_request_id(text: str) -> bool:
    """Whether it can be repeated anywhere."""
    return _SAFE_REQUEST_ID.fullmatch(text) is not None


def current_request_id() -> str:
    """Of the running request; empty outside of any."""
    return _current_request_id.get()


def current_traceparent() -> str:
    """Of the span that is recorded, else of the running request; a new one outside of any."""
    return tracing.current_span().traceparent or _current_trace.get() or new_traceparent()


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


@contextmanager
def bound_trace(asked: str) -> Iterator[None]:
    """Go on with the trace of the span that is recorded, else with this one, and begin one where `asked` is no
    traceparent; its id is in every log line of the body."""
    traceparent = tracing.current_span().traceparent
    if traceparent is None:
        traceparent = asked if _TRACEPARENT.fullmatch(asked) else new_traceparent()
    token = _current_trace.set(traceparent)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=traceparent.split("-")[1]):
            yield
    finally:
        _current_trace.reset(token)


@contextmanager
def bound_request_id(request_id: str) -> Iterator[None]:
    """The id is in every log line of the body, and goes with what is sent to a worker; an empty one is not."""
    token = _current_request_id.set(request_id)
    try:
        with structlog.contextvars.bound_contextvars(**({"request_id": request_id} if request_id else {})):
            yield
    finally:
        _current_request_id.reset(token)
