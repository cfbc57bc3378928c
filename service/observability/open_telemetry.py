"""OpenTelemetry behind the seam of `tracing`. The only importer of opentelemetry, which the extra `otel` installs."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.observability.tracing import Attributes, Kind, Span

_CLOSE_TIMEOUT_S = 3.0
"""For spans that were not sent yet: a process that is to end does not wait longer for a collector."""
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}
_NS_PER_S = 1_000_000_000


def open_exporting_tracer(process: str) -> OpenTelemetryTracer:
    """One that sends spans over OTLP/HTTP from a thread of its own, as the `OTEL_*` variables say."""
    described = Resource.create({"service.name": process, "service.version": version("coreface")})
    # What the operator says about the process stands above what it says of itself.
    provider = TracerProvider(
        resource=described.merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,  # `close` does it
    )
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryTracer(provider, exporter)


class OpenTelemetryTracer:
    """A `Tracer` around a provider."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        """`exporter`: the provider's, which is stopped where it does not come to an end by itself."""
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("coreface", version("coreface"))
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes) -> Iterator[Span]:
        with self._current(name, kind, None, attributes) as span:
            yield span

    @contextmanager
    def continued(self, traceparent: str, name: str, kind: Kind) -> Iterator[Span]:
        # An empty context: what is current here is not what the other process tells of.
        parent = self._propagator.extract({"traceparent": traceparent}, Context())
        with self._current(name, kind, parent, {}) as span:
            yield span

    def current(self) -> Span:
        return _OpenSpan(trace.get_current_span())

    def past(self, name: str, seconds: float) -> None:
        ended = time.time_ns()
        span = self._tracer.start_span(name, start_time=ended - int(seconds * _NS_PER_S))
        span.end(ended)

    def passed(self, name: str, seconds: float, served: Sequence[contextvars.Context], attributes: Attributes) -> None:
        ended = time.time_ns()
        spans = (each.run(trace.get_current_span) for each in served)
        parents = {span.get_span_context().span_id: span for span in spans}
        for span in parents.values():
            # Not whether it still records: it may have ended since the pass did.
            if span.get_span_context().trace_flags.sampled:
                self._tracer.start_span(
                    name,
                    trace.set_span_in_context(span),
                    attributes={**attributes, "coreface.pass.sets": len(parents)},
                    links=[Link(other.get_span_context()) for other in parents.values() if other is not span],
                    start_time=ended - int(seconds * _NS_PER_S),
                ).end(ended)

    def close(self) -> None:
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)
        if closing.is_alive():
            self._exporter.shutdown()

    @contextmanager
    def _current(self, name: str, kind: Kind, parent: Context | None, attributes: Attributes) -> Iterator[Span]:
        span = self._tracer.start_span(name, parent, _KINDS[kind], attributes)
        # Messages of exceptions may quote what they were given: the class alone is told.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            opened = _OpenSpan(span)
            try:
                yield opened
            except Exception as error:
                opened.fail(type(error).__name__)
                raise


class _OpenSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        context = self._span.get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))
