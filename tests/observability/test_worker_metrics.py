from __future__ import annotations

from service.observability.worker_metrics import WorkerMetrics


def test_what_becomes_of_sets_is_counted() -> None:
    metrics = WorkerMetrics()
    for _ in range(3):
        metrics.set_taken()
    metrics.set_ended("answered")
    metrics.set_ended("deadline_exceeded")
    text = metrics.render().decode()
    for line in (
        "coreface_worker_sets_held 1.0",
        'coreface_worker_sets_total{outcome="answered"} 1.0',
        'coreface_worker_sets_total{outcome="deadline_exceeded"} 1.0',
    ):
        assert line in text


def test_readiness_is_asked_at_every_scrape() -> None:
    metrics = WorkerMetrics()
    ready = False
    metrics.follow_readiness(lambda: ready)
    assert "coreface_worker_ready 0.0" in metrics.render().decode()
    ready = True
    assert "coreface_worker_ready 1.0" in metrics.render().decode()
