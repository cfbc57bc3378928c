"""What the API process counts. The table in `docs/metrics.md` is tested against this module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from service.conditions import StoreCondition
from service.errors import RefusedSetError
from service.observability.stage_metrics import StageMetrics
from service.observability.store_calls import STORE_FAILURES
from service.pipeline.fair_gate import FairGate
from service.types import SampleReport, are_consistent

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CUTS = ("malformed", "slow_header", "slow_body", "unread_answer", "too_many")
_QUALITIES = tuple(range(10, 101, 10))


class Metrics:
    """One registry per application. Labels hold routes, codes, stages and versions: never an id of a request or a
    template."""

    def __init__(self, problem_codes: Iterable[str] = ()) -> None:
        """`problem_codes`: that may be answered. They are there from the first scrape on, as 0: of a series that begins
        with 1, no increase is seen."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.stages = StageMetrics(self.registry)
        self._requests = Counter(
            "coreface_requests", "HTTP requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "coreface_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "coreface_requests_in_flight", "HTTP requests not yet answered.", registry=self.registry
        )
        self._failures = Counter(
            "coreface_failures", "Problem documents answered, by code.", ("code",), registry=self.registry
        )
        self._samples = Counter(
            "coreface_samples",
            "Samples of fresh sets: `used`, or why they were rejected.",
            ("outcome",),
            registry=self.registry,
        )
        self._inconsistent_sets = Counter(
            "coreface_inconsistent_sets",
            "Fresh sets whose faces do not look like one person's.",
            registry=self.registry,
        )
        self._media = Counter(
            "coreface_media", "Used samples of fresh sets: photographs and clips.", ("kind",), registry=self.registry
        )
        self._template_quality = Histogram(
            "coreface_template_quality",
            "Quality of fresh templates, 0 to 100.",
            buckets=_QUALITIES,
            registry=self.registry,
        )
        self._templates = Counter(
            "coreface_templates", "Templates answered, by where they came from.", ("origin",), registry=self.registry
        )
        self._erasures = Counter("coreface_erasures", "Templates erased.", registry=self.registry)
        self._pictures = Counter("coreface_report_pictures", "Reports answered as a picture.", registry=self.registry)
        self._pair_errors = Counter(
            "coreface_pair_errors", "Entries of batches without a decision.", ("code",), registry=self.registry
        )
        self._explained = Counter("coreface_explained_decisions", "Decisions explained.", registry=self.registry)
        self._comparisons = Counter(
            "coreface_comparisons", "Decisions answered.", ("operating_point", "decision"), registry=self.registry
        )
        self._stage_seconds = Histogram(
            "coreface_stage_seconds",
            "Wall time of a fresh set (of its batch, for the engine's stages) by stage.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._sets_waiting = Gauge(
            "coreface_engine_sets_waiting", "Sets that wait for their turn.", registry=self.registry
        )
        self._samples_waiting = Gauge(
            "coreface_engine_samples_waiting", "Samples of the sets that wait.", registry=self.registry
        )
        self._sets_in_flight = Gauge(
            "coreface_engine_sets_in_flight", "Sets that are with the workers.", registry=self.registry
        )
        self._samples_per_second = Gauge(
            "coreface_engine_samples_per_second",
            "Samples that the workers were measured to do for this process under load; 0 before there was any.",
            registry=self.registry,
        )

        self._oldest_set = Gauge(
            "coreface_engine_oldest_set_seconds",
            "How long the oldest set that waits or is with the workers has been here; 0 where there is none.",
            registry=self.registry,
        )
        self._workers = Gauge("coreface_engine_workers", "Workers that answer for this pack.", registry=self.registry)
        self._info = Gauge(
            "coreface_service_info",
            "1; what this process is and which pack it serves.",
            ("version", "pack", "fingerprint"),
            registry=self.registry,
        )
        self._check_ok = Gauge(
            "coreface_check_ok",
            "1 where this part was usable when readiness was asked for the last time.",
            ("check",),
            registry=self.registry,
        )
        self._store_seconds = Histogram(
            "coreface_store_call_seconds",
            "Time of one call to the store, by what it was for.",
            ("operation",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._store_failures = Counter(
            "coreface_store_failures", "Calls to the store that failed, by why.", ("reason",), registry=self.registry
        )
        self._cached_embeddings = Counter(
            "coreface_embedding_cache_samples",
            "Samples that were looked for in the cache of embeddings.",
            ("outcome",),
            registry=self.registry,
        )
        self._store_used = Gauge(
            "coreface_store_used_bytes", "Memory that the store uses, when it was asked last.", registry=self.registry
        )
        self._store_limit = Gauge(
            "coreface_store_limit_bytes", "Memory that the store may use; 0: no limit.", registry=self.registry
        )
        self._clock_skew = Gauge(
            "coreface_store_clock_skew_seconds",
            "How far this machine's clock is ahead of the store's.",
            registry=self.registry,
        )
        self._connections = Gauge("coreface_connections", "Open connections of clients.", registry=self.registry)
        self._cut_connections = Counter(
            "coreface_cut_connections", "Connections ended early, by why.", ("reason",), registry=self.registry
        )

        for code in problem_codes:
            self._failures.labels(code)
        for cut in _CUTS:
            self._cut_connections.labels(cut)
        for failure in STORE_FAILURES:
            self._store_failures.labels(failure)

    def follow_connections(self, connections: Sized) -> None:
        """The server's, looked at with every scrape."""
        self._connections.set_function(lambda: len(connections))

    def connection_cut(self, reason: str) -> None:
        """One of `_CUTS`; `slow_body`: of what was answered already."""
        self._cut_connections.labels(reason).inc()

    def follow_gate(self, gate: FairGate) -> None:
        """The gate of the engine, looked at with every scrape."""
        self._sets_waiting.set_function(lambda: gate.waiting)
        self._samples_waiting.set_function(lambda: gate.waiting_cost)
        self._sets_in_flight.set_function(lambda: gate.inside)
        self._samples_per_second.set_function(lambda: gate.cost_per_s or 0.0)
        self._oldest_set.set_function(lambda: gate.oldest_s)

    def follow_workers(self, count: Callable[[], int]) -> None:
        """`count` is asked at every scrape."""
        self._workers.set_function(count)

    def describe(self, *, version: str, pack: str, fingerprint: str) -> None:
        self._info.labels(version, pack, fingerprint).set(1)

    def check_made(self, check: str, *, ok: bool) -> None:
        """`check`: a name of `/health/ready`."""
        self._check_ok.labels(check).set(ok)

    def store_examined(self, condition: StoreCondition) -> None:
        self._store_used.set(condition.used_bytes)
        self._store_limit.set(condition.limit_bytes or 0)
        self._clock_skew.set(condition.clock_skew_s)

    def store_called(self, operation: str, seconds: float, failure: str | None) -> None:
        """As `StoreObserver` says."""
        self._store_seconds.labels(operation).observe(seconds)
        if failure is not None:
            self._store_failures.labels(failure).inc()

    def embeddings_looked_up(self, *, found: int, missing: int) -> None:
        """As `StoreObserver` says."""
        self._cached_embeddings.labels("found").inc(found)
        self._cached_embeddings.labels("missing").inc(missing)

    def request_started(self) -> None:
        self._in_flight.inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float, problem_code: str | None) -> None:
        self._in_flight.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        if problem_code is not None:
            self._failures.labels(problem_code).inc()

    def set_reported(self, reports: Sequence[SampleReport], *, known: int = 0) -> None:
        """A fresh set, whether it became a template or was refused. `known`: of the lines, the first ones, of samples
        that others were added to."""
        for report in reports[known:]:
            self._samples.labels(report.status if report.reason is None else report.reason.value).inc()
            if report.reason is None:
                self._media.labels("photograph" if report.seconds is None else "clip").inc()
        if are_consistent(reports) is False:
            self._inconsistent_sets.inc()

    @contextmanager
    def counting_refused_sets(self, *, added: int | None = None) -> Iterator[None]:
        """A set that is refused for its samples was looked at all the same. `added`: how many of its lines, the last
        ones, are of samples that were added to others; None: all are new."""
        try:
            yield
        except RefusedSetError as error:
            self.set_reported(error.reports, known=0 if added is None else len(error.reports) - added)
            raise

    def template_answered(self, origin: str, quality: float | None) -> None:
        """`origin`: `engine`, `added` to a kept one, or `cache`. `quality`: of a fresh one, 0..100."""
        self._templates.labels(origin).inc()
        if quality is not None:
            self._template_quality.observe(quality)

    def templates_erased(self, count: int) -> None:
        self._erasures.inc(count)

    def picture_answered(self) -> None:
        self._pictures.inc()

    def pair_failed(self, code: str) -> None:
        self._pair_errors.labels(code).inc()

    def decision_explained(self) -> None:
        self._explained.inc()

    def comparison_answered(self, operating_point: str, decision: str) -> None:
        self._comparisons.labels(operating_point, decision).inc()

    def stages_timed(self, stage_seconds: Mapping[str, float]) -> None:
        for stage, seconds in stage_seconds.items():
            self._stage_seconds.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
