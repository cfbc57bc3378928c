from __future__ import annotations

import re
from pathlib import Path

from service.api.problems import problem_codes
from service.conditions import StoreCondition
from service.observability.metrics import Metrics
from service.observability.worker_metrics import WorkerMetrics
from service.types import RejectionReason, SampleReport

TABLE = Path(__file__).parents[2] / "docs" / "metrics.md"


def report(reason: RejectionReason | None) -> SampleReport:
    status = "used" if reason is None else "rejected"
    return SampleReport(0, "0" * 64, status, reason, None, None, None, None, None, None, 0.0)


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(coreface_\w+)` \| (\w+) \| (.*?) ?\|", TABLE.read_text(), re.MULTILINE
        )
    }
    actual = {
        metric.name + ("_total" if metric.type == "counter" else ""): (metric.type, tuple(collector._labelnames))
        for registry in (Metrics().registry, WorkerMetrics().registry)
        for collector in registry._collector_to_names
        if hasattr(collector, "_labelnames")
        for metric in collector.describe()
    }
    assert documented == actual


def test_every_call_to_the_store_is_documented() -> None:
    (row,) = re.findall(r"^\| `coreface_store_call_seconds` .*$", TABLE.read_text(), re.MULTILINE)
    called = {
        name
        for path in (TABLE.parents[1] / "service" / "store").glob("*.py")
        for name in re.findall(r'reporting_failures\("(\w+)"\)', path.read_text())
    }
    assert set(re.findall(r"`(\w+)`", row)) - {"coreface_store_call_seconds", "operation"} == called


def test_what_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.request_started()
    metrics.request_started()
    metrics.request_ended("POST", "/v1/templates", 422, 0.1, "no_usable_sample")
    metrics.set_reported([report(None), report(RejectionReason.NO_FACE), report(RejectionReason.NO_FACE)])
    metrics.template_answered("cache", None)
    metrics.template_answered("engine", 42.0)
    metrics.templates_erased(3)
    metrics.picture_answered()
    metrics.pair_failed("template_erased")
    metrics.decision_explained()
    metrics.comparison_answered("fmr_1e-3", "match")
    metrics.stages_timed({"embed": 0.02})
    metrics.store_called("get", 0.002, None)
    metrics.store_called("put", 0.25, "slow")
    metrics.embeddings_looked_up(found=2, missing=1)
    metrics.store_examined(StoreCondition(used_bytes=10, limit_bytes=None, clock_skew_s=-0.5))
    metrics.check_made("store", ok=False)
    metrics.describe(version="1.2.3", pack="p", fingerprint="f")
    metrics.follow_workers(lambda: 3)
    text = metrics.render().decode()
    for line in (
        "coreface_requests_in_flight 1.0",
        'coreface_requests_total{method="POST",route="/v1/templates",status="422"} 1.0',
        'coreface_failures_total{code="no_usable_sample"} 1.0',
        'coreface_samples_total{outcome="used"} 1.0',
        'coreface_samples_total{outcome="no_face"} 2.0',
        'coreface_templates_total{origin="cache"} 1.0',
        'coreface_templates_total{origin="engine"} 1.0',
        'coreface_template_quality_bucket{le="40.0"} 0.0',
        'coreface_template_quality_bucket{le="50.0"} 1.0',
        "coreface_erasures_total 3.0",
        "coreface_report_pictures_total 1.0",
        'coreface_pair_errors_total{code="template_erased"} 1.0',
        "coreface_explained_decisions_total 1.0",
        'coreface_media_total{kind="photograph"} 1.0',
        'coreface_comparisons_total{decision="match",operating_point="fmr_1e-3"} 1.0',
        'coreface_stage_seconds_count{stage="embed"} 1.0',
        'coreface_store_call_seconds_bucket{le="0.0025",operation="get"} 1.0',
        'coreface_store_failures_total{reason="slow"} 1.0',
        'coreface_embedding_cache_samples_total{outcome="found"} 2.0',
        'coreface_embedding_cache_samples_total{outcome="missing"} 1.0',
        "coreface_store_used_bytes 10.0",
        "coreface_store_limit_bytes 0.0",
        "coreface_store_clock_skew_seconds -0.5",
        'coreface_check_ok{check="store"} 0.0',
        'coreface_service_info{fingerprint="f",pack="p",version="1.2.3"} 1.0',
        "coreface_engine_workers 3.0",
    ):
        assert line in text


def test_what_may_fail_is_there_as_nothing_from_the_first_scrape_on() -> None:
    text = Metrics(problem_codes()).render().decode()
    for line in (
        'coreface_failures_total{code="audit_unavailable"} 0.0',
        'coreface_failures_total{code="internal_error"} 0.0',
        'coreface_store_failures_total{reason="full"} 0.0',
        'coreface_cut_connections_total{reason="too_many"} 0.0',
    ):
        assert line in text
    assert "setup_failed" not in text


def test_two_applications_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.template_answered("cache", None)
    assert "coreface_templates_total{" not in second.render().decode()
