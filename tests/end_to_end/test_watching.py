"""What a person on call gets of a running service: one trace over its processes, lines that belong together, health."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running_service import RunningService, free_port
from tests.end_to_end.test_walk import pictures, upload
from tests.observability.collector import Collector, ReceivedSpan, running_collector

pytestmark = pytest.mark.xdist_group("end_to_end")

TRACE_ID, PARENT_ID = "c3" * 16, "d4" * 8
HEADERS = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "X-Request-ID": "call-of-the-night"}
SUBJECT = "anna@example.org"
STAGES = {"decode", "detect", "align", "embed", "aggregate"}
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path, collector: Collector
) -> Iterator[RunningService]:
    settings = {
        "COREFACE_WORKER_PORT": str(free_port()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with RunningService(tmp_path_factory.mktemp("watched"), default_pack_path, settings) as service:
        yield service


def spans_of_the_trace(collector: Collector) -> list[ReceivedSpan]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        spans = [span for span in collector.spans if span.trace_id == TRACE_ID]
        if {"POST /v1/templates", "process set"} | STAGES <= {span.name for span in spans}:
            return spans
        time.sleep(0.05)
    raise TimeoutError(f"Spans so far: {sorted(span.name for span in collector.spans)}")


def test_one_set_is_one_trace_and_one_request_id(
    watched: RunningService, collector: Collector, shared_data: Path
) -> None:
    sent = pictures(shared_data, "George_W_Bush", 1, 3)
    with watched.client() as client:
        client.headers.update(HEADERS)
        kept = upload(client, sent, subject=SUBJECT).json()
    spans = spans_of_the_trace(collector)
    processes = {span.name: span.process for span in spans}
    assert processes["POST /v1/templates"] == processes["store put"] == "coreface-api"
    assert {processes[name] for name in STAGES | {"process set"}} == {"coreface-worker"}
    (request,) = (span for span in spans if span.name == "POST /v1/templates")
    assert request.parent_id == PARENT_ID
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id not in ids] == ["POST /v1/templates"]
    assert "3" in request.attributes["coreface.request.samples"]
    told = b"".join(collector.bodies)
    for secret in (kept["template_id"], SUBJECT, kept["samples"][0]["digest"]):
        assert secret.encode() not in told
    lines = [json.loads(line) for line in watched.log().splitlines() if line.startswith("{")]
    ours = [line for line in lines if line.get("request_id") == HEADERS["X-Request-ID"]]
    assert {line["event"] for line in ours} == {"request", "set"}
    assert {line["trace_id"] for line in ours} == {TRACE_ID}
    assert {"api_started", "worker_started", "network_opened", "ready"} <= {line["event"] for line in lines}
    assert {line["route"] for line in lines if line["event"] == "request"} == {"/v1/templates"}


def test_health_tells_of_every_part(watched: RunningService) -> None:
    with watched.client() as client:
        health = client.get("/health").json()
    assert {check["name"]: check["status"] for check in health["checks"]} == dict.fromkeys(
        ("store", "engine", "pack", "workers", "queue", "sealing_key", "clock"), "ok"
    )
    assert health["status"] == "ok"
    assert [worker["version"] for worker in health["workers"]] == [health["version"]]
    assert health["store"]["used_bytes"] > 0
    assert abs(health["store"]["clock_skew_seconds"]) < 1
