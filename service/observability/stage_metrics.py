"""What the stages of an engine count, in whichever process it runs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from service.pipeline.stages import BatchDone

_COSTS = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StageMetrics:
    """Thread-safe. Labels hold stages alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._cost = Histogram(
            "coreface_batch_cost",
            "What one batch of a stage held: pictures, faces or sets.",
            ("stage",),
            buckets=_COSTS,
            registry=registry,
        )
        self._wait_seconds = Histogram(
            "coreface_batch_wait_seconds",
            "Time that work waited for its batch.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._service_seconds = Histogram(
            "coreface_batch_service_seconds", "Time of one batch.", ("stage",), buckets=_SECONDS, registry=registry
        )

    def batch_done(self, done: BatchDone) -> None:
        self._cost.labels(done.stage).observe(done.cost)
        self._service_seconds.labels(done.stage).observe(done.service_s)
        wait_seconds = self._wait_seconds.labels(done.stage)
        for waited_s in done.waited_s:
            wait_seconds.observe(waited_s)
