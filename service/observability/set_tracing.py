"""Spans of sets and of the passes that serve them."""

from __future__ import annotations

from contextlib import AbstractContextManager

from service.observability import tracing
from service.observability.stage_metrics import StageMetrics
from service.pipeline.stages import BatchDone, BatchObserver
from service.types import SetRequest


def set_span(request: SetRequest) -> AbstractContextManager[tracing.Span]:
    """What an engine does for one set. How many samples it has is told, and not whose they are."""
    attributes = {"coreface.set.samples": len(request.samples), "coreface.set.known_samples": len(request.known)}
    return tracing.span("set", attributes=attributes)


def observing_passes(metrics: StageMetrics) -> BatchObserver:
    """Counts each batch, and puts it into the trace of every set that it served."""

    def observe(done: BatchDone) -> None:
        metrics.batch_done(done)
        _trace_pass(done)

    return observe


def _trace_pass(done: BatchDone) -> None:
    attributes = {"coreface.pass.cost": done.cost, "coreface.pass.waited_s": max(done.waited_s)}
    tracing.pass_done(done.stage, done.service_s, done.served, attributes)
