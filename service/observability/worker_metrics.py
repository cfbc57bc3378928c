"""What a worker process counts. The table in `docs/metrics.md` is tested against this module."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from service.observability.stage_metrics import StageMetrics


class WorkerMetrics:
    """One registry per worker. Labels hold codes: never an id of a request or a template."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.stages = StageMetrics(self.registry)
        self._ready = Gauge("coreface_worker_ready", "1 while this worker takes sets.", registry=self.registry)
        self._held = Gauge(
            "coreface_worker_sets_held", "Sets taken from the stream and not yet answered.", registry=self.registry
        )
        self._sets = Counter(
            "coreface_worker_sets", "Sets that this worker is done with.", ("outcome",), registry=self.registry
        )

    def follow_readiness(self, is_ready: Callable[[], bool]) -> None:
        """`is_ready` is asked at every scrape."""
        self._ready.set_function(is_ready)

    def set_taken(self) -> None:
        self._held.inc()

    def set_ended(self, outcome: str) -> None:
        """Once for every set taken: `answered`, the code of the error it was answered with, or why there was no
        answer: `expired`, `unreadable`, `undelivered`, `set_aside`."""
        self._held.dec()
        self._sets.labels(outcome).inc()

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
