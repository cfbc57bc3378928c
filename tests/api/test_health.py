from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from service.api.draining import draining_of
from service.conditions import EngineStatus
from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi


def test_a_healthy_service_is_ready(api: RunningApi) -> None:
    response = api.client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert {check["name"]: check["ok"] for check in response.json()["checks"]} == {
        "store": True,
        "engine": True,
        "pack": True,
    }


def test_a_broken_store_is_told_with_its_reason_and_the_process_lives(tmp_path: Path) -> None:
    with RunningApi(f"unix://{tmp_path}/nobody.sock", LIMITS) as api:
        response = api.client.get("/health/ready")
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json()["code"] == "not_ready"
        assert response.json()["detail"].startswith("store: ")
        assert [check["ok"] for check in response.json()["checks"]] == [False, True, True]
        assert api.client.get("/health/live").json() == {"status": "live"}


def test_an_engine_without_workers_is_told(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunningApi(valkey_url, LIMITS) as api:
        ready = EngineStatus(True, "fake", 1, ())

        async def status() -> EngineStatus:
            return replace(ready, ready=False, detail="No worker has shown up.")

        monkeypatch.setattr(api.engine, "status", status)
        problem = api.client.get("/health/ready").json()
        assert problem["detail"] == "engine: No worker has shown up."


def report_of(api: RunningApi) -> tuple[str, dict[str, dict[str, str | None]]]:
    health = api.client.get("/health").json()
    return health["status"], {check["name"]: check for check in health["checks"]}


def test_a_report_of_a_healthy_service(api: RunningApi) -> None:
    status, checks = report_of(api)
    assert status == "ok"
    assert {name: (check["status"], check["remedy"]) for name, check in checks.items()} == dict.fromkeys(
        ("store", "engine", "pack", "workers", "queue", "sealing_key", "clock"), ("ok", None)
    )
    health = api.client.get("/health").json()
    assert health["fingerprint"] == api.pack.fingerprint
    assert health["store"]["used_bytes"] > 0
    assert health["store"]["limit_bytes"] is None


def test_a_report_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    with RunningApi(f"unix://{tmp_path}/nobody.sock", LIMITS) as api:
        status, checks = report_of(api)
        assert (status, checks["store"]["status"]) == ("failing", "failing")
        assert "COREFACE_REDIS_URL" in str(checks["store"]["remedy"])
        assert "clock" not in checks
        assert api.client.get("/health").json()["store"] is None
        assert "COREFACE_REDIS_URL" in api.client.get("/health/ready").json()["checks"][0]["remedy"]


def test_a_process_that_stops_says_so_in_its_report(valkey_url: str) -> None:
    with RunningApi(valkey_url, LIMITS) as api:
        draining_of(api.application).announce()
        status, checks = report_of(api)
        assert (status, checks["process"]["status"]) == ("failing", "failing")


def test_the_log_tells_when_readiness_changes_and_only_then(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = EngineStatus(True, "fake", 1, ())
    answers = [
        ready,
        ready,
        replace(ready, ready=False, detail="gone"),
        replace(ready, ready=False, detail="gone"),
        ready,
    ]
    with RunningApi(valkey_url, LIMITS) as api:

        async def status() -> EngineStatus:
            return answers.pop(0)

        monkeypatch.setattr(api.engine, "status", status)
        with structlog.testing.capture_logs() as logs:
            for _ in range(5):
                api.client.get("/health/ready")
    told = [(line["event"], line.get("checks")) for line in logs if line["event"] in ("ready", "not_ready")]
    assert told == [("ready", None), ("not_ready", ["engine"]), ("ready", None)]


def test_metrics_are_answered_in_the_text_format(api: RunningApi) -> None:
    response = api.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "coreface_requests_in_flight 1.0" in response.text


def test_a_process_that_stops_says_so_and_lives_on(valkey_url: str) -> None:
    with RunningApi(valkey_url, LIMITS) as api:
        draining_of(api.application).announce()
        response = api.client.get("/health/ready")
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        assert response.json()["detail"] == "process: It is stopping; send work to another one."
        assert api.client.get("/health/live").status_code == 200
        assert api.client.get("/v1/packs/current").status_code == 200
