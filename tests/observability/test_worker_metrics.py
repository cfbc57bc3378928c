from __future__ import annotations

from service.observability.worker_metrics import WorkerMetrics


def test_what_becomes_of_sets_is_counted() -> None:
    metrics = WorkerMetrics()
    for _ in range(3):
        metrics.set_taken(0.02)
    metrics.set_ended("answered", 0.2)
    metrics.set_ended("deadline_exceeded", 2.0)
    metrics.set_taken_over()
    metrics.describe(version="1.2.3", pack="p", fingerprint="f")
    metrics.follow_batches(lambda: 1.5)
    text = metrics.render().decode()
    for line in (
        "coreface_worker_sets_held 1.0",
        'coreface_worker_sets_total{outcome="answered"} 1.0',
        'coreface_worker_sets_total{outcome="deadline_exceeded"} 1.0',
        'coreface_worker_queue_seconds_bucket{le="0.025"} 3.0',
        'coreface_worker_set_seconds_bucket{le="0.25"} 1.0',
        "coreface_worker_takeovers_total 1.0",
        'coreface_worker_info{fingerprint="f",pack="p",version="1.2.3"} 1.0',
        "coreface_worker_longest_batch_seconds 1.5",
    ):
        assert line in text


def test_readiness_is_asked_at_every_scrape() -> None:
    metrics = WorkerMetrics()
    ready = False
    metrics.follow_readiness(lambda: ready)
    assert "coreface_worker_ready 0.0" in metrics.render().decode()
    ready = True
    assert "coreface_worker_ready 1.0" in metrics.render().decode()
