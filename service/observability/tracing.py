"""Spans of the work that is done for a request, and where they go.

The process asks this module for spans, whether or not anybody records them. Without `exported_traces`, or where it
finds nothing to export to, every one of them is the same empty one, and nothing of OpenTelemetry is imported.

    API       POST /v1/templates        route, status, samples
                store claim_set, ...    each call to the store
                set                     the way over the workers and back
                  wait, send            for its turn; into the stream
    worker          process set         what a worker did for it
                      queue             in the stream
                      decode, detect, align, embed, aggregate     each pass, with links to the other sets in it
                      reply
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from typing import Protocol

import structlog

from service.settings import TelemetrySettings

Attributes = Mapping[str, str | int | float]

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Kind(Enum):
    """Of a span, as OpenTelemetry names them."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """One that has begun."""

    @property
    def traceparent(self) -> str | None:
        """What goes on with it elsewhere (W3C); None where there is nothing to go on with."""
        ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def fail(self, reason: str) -> None:
        """What it stands for did not do what it should. `reason`: of a few, no free text."""
        ...


class Tracer(Protocol):
    """Records spans."""

    def span(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[Span]:
        """A child of the one that is current, and current within its context."""
        ...

    def continued(self, traceparent: str, name: str, kind: Kind) -> AbstractContextManager[Span]:
        """The same for a span of another process; what is no traceparent begins a trace."""
        ...

    def current(self) -> Span: ...

    def past(self, name: str, seconds: float) -> None:
        """A child of the current one that took so long and ends now."""
        ...

    def passed(self, name: str, seconds: float, served: Sequence[contextvars.Context], attributes: Attributes) -> None:
        """One pass that ends now, as a child of each span that was current in one of the contexts, linked to the
        others."""
        ...

    def close(self) -> None:
        """Send what was not sent yet."""
        ...


class _NoSpan:
    """Where nobody records."""

    traceparent: str | None = None

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def fail(self, reason: str) -> None: ...


_NO_SPAN = _NoSpan()
_NOTHING: Attributes = {}
_tracer: Tracer | None = None


def span(name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes = _NOTHING) -> AbstractContextManager[Span]:
    """A child of the current span, current in its body; an exception that leaves it marks it as failed."""
    return _NO_SPAN if _tracer is None else _tracer.span(name, kind, attributes)


def continued_span(traceparent: str, name: str, kind: Kind) -> AbstractContextManager[Span]:
    """The same, as a child of the span that `traceparent` tells of."""
    return _NO_SPAN if _tracer is None else _tracer.continued(traceparent, name, kind)


def current_span() -> Span:
    return _NO_SPAN if _tracer is None else _tracer.current()


def past_span(name: str, seconds: float) -> None:
    """Something that ends now, was `seconds` long, and belongs to the current span."""
    if _tracer is not None:
        _tracer.past(name, seconds)


def pass_done(name: str, seconds: float, served: Sequence[contextvars.Context], attributes: Attributes) -> None:
    """Of work that was done together: `served` are the contexts of those who wait for it."""
    if _tracer is not None:
        _tracer.passed(name, seconds, served, attributes)


@contextmanager
def recording(tracer: Tracer) -> Iterator[None]:
    """Let `tracer` record every span of this process for the time of the body."""
    global _tracer
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


@contextmanager
def exported_traces(process: str) -> Iterator[None]:
    """Record the spans of the body and send them where the `OTEL_*` variables say. `process`: the service's name where
    they name none. A collector that is gone costs spans, never requests."""
    tracer = _exporting_tracer(process, TelemetrySettings())
    if tracer is None:
        yield
        return
    try:
        with recording(tracer):
            yield
    finally:
        tracer.close()


def _exporting_tracer(process: str, settings: TelemetrySettings) -> Tracer | None:
    if not settings.is_wanted:
        return None
    obstacle = settings.obstacle
    if obstacle is None:
        try:
            # Only here: it may not be installed, and takes memory where it is.
            from service.observability.open_telemetry import open_exporting_tracer

            return open_exporting_tracer(process)
        except ImportError as error:
            obstacle = f"{error.name} is not installed; coreface[otel] has it"
    _log.warning("traces_off", reason=obstacle)
    return None
