"""What a worker process counts. The table in `docs/metrics.md` is tested against this module."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from service.observability.stage_metrics import SECONDS, StageMetrics


class WorkerMetrics:
    """One registry per worker. Labels hold codes, names and versions: never an id of a request or a template."""

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
        self._set_seconds = Histogram(
            "coreface_worker_set_seconds",
            "Time from when a set was taken until it was done with.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._queue_seconds = Histogram(
            "coreface_worker_queue_seconds",
            "Time that a set lay in the stream before it was taken.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._takeovers = Counter(
            "coreface_worker_takeovers",
            "Sets taken over from workers that are gone or stand still.",
            registry=self.registry,
        )
        self._longest_batch = Gauge(
            "coreface_worker_longest_batch_seconds",
            "How long the longest of the batches that run now has been running.",
            registry=self.registry,
        )
        self._info = Gauge(
            "coreface_worker_info",
            "1; what this worker is and which pack it serves.",
            ("version", "pack", "fingerprint"),
            registry=self.registry,
        )

    def follow_readiness(self, is_ready: Callable[[], bool]) -> None:
        """`is_ready` is asked at every scrape."""
        self._ready.set_function(is_ready)

    def follow_batches(self, longest_s: Callable[[], float]) -> None:
        """`longest_s` is asked at every scrape."""
        self._longest_batch.set_function(longest_s)

    def describe(self, *, version: str, pack: str, fingerprint: str) -> None:
        self._info.labels(version, pack, fingerprint).set(1)

    def set_taken(self, queue_seconds: float) -> None:
        self._held.inc()
        self._queue_seconds.observe(queue_seconds)

    def set_taken_over(self) -> None:
        self._takeovers.inc()

    def set_ended(self, outcome: str, seconds: float) -> None:
        """Once for every set taken: `answered`, the code of the error it was answered with, or why there was no
        answer: `expired`, `unreadable`, `undelivered`, `set_aside`."""
        self._held.dec()
        self._sets.labels(outcome).inc()
        self._set_seconds.observe(seconds)

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
