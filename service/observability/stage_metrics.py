"""What the stages of an engine count, in whichever process it runs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics

from service.pipeline.stages import BatchDone

# They would nearly double the series, for what `rate` does not need.
disable_created_metrics()  # type: ignore[no-untyped-call]

_COSTS = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StageMetrics:
    """Thread-safe. Labels hold stages, networks and providers alone."""

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
            buckets=SECONDS,
            registry=registry,
        )
        self._service_seconds = Histogram(
            "coreface_batch_service_seconds", "Time of one batch.", ("stage",), buckets=SECONDS, registry=registry
        )
        self._network = Gauge(
            "coreface_model_info", "1; what runs the network.", ("network", "provider"), registry=registry
        )
        self._drift = Gauge(
            "coreface_model_drift_ratio",
            "Deviation from the pack's golden answers when the network was loaded, as a share of them.",
            ("network",),
            registry=registry,
        )

    def network_opened(self, network: str, provider: str, drift: float | None) -> None:
        """`network`: `detector` or `embedder`. `drift` None: the pack has nothing to hold it to."""
        self._network.labels(network, provider).set(1)
        if drift is not None:
            self._drift.labels(network).set(drift)

    def batch_done(self, done: BatchDone) -> None:
        self._cost.labels(done.stage).observe(done.cost)
        self._service_seconds.labels(done.stage).observe(done.service_s)
        wait_seconds = self._wait_seconds.labels(done.stage)
        for waited_s in done.waited_s:
            wait_seconds.observe(waited_s)
