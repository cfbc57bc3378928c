from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from service.api.answers import CheckName
from service.api.health_findings import Finding, engine_finding, further_findings, pack_finding, store_finding
from service.conditions import EngineStatus, StoreCondition, WorkerStatus
from tests.api.running_api import make_pack

WELL = StoreCondition(latency_s=0.001, used_bytes=50, limit_bytes=100, same_key=True)
WORKER = WorkerStatus("w", "1.0", ("GPU",), 8, True)
ENGINE = EngineStatus(True, "One worker.", 1, ("GPU",), (WORKER,), sets_waiting=2, sets_in_flight=1, oldest_s=1.0)
LIMIT_S = 30.0


def test_every_check_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    table = page.partition("| check | `failing`")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(get_args(CheckName))


def further(store: StoreCondition | str = WELL, engine: EngineStatus | str = ENGINE) -> dict[str, Finding]:
    return {finding.name: finding for finding in further_findings(store, engine, "1.0", LIMIT_S)}


def test_all_is_well() -> None:
    findings = [store_finding(WELL), engine_finding(ENGINE), pack_finding(make_pack()), *further().values()]
    assert [(finding.name, finding.status, finding.remedy) for finding in findings] == [
        (name, "ok", None) for name in ("store", "engine", "pack", "workers", "queue", "sealing_key", "clock")
    ]


@pytest.mark.parametrize(
    ("condition", "status", "word"),
    [
        ("The template store is read-only.", "failing", "replica"),
        (replace(WELL, used_bytes=91), "warning", "maxmemory"),
        (replace(WELL, latency_s=0.3), "warning", "slow log"),
        (replace(WELL, saves=False), "warning", "do not restart"),
    ],
)
def test_of_a_store_that_is_not_well(condition: StoreCondition | str, status: str, word: str) -> None:
    finding = store_finding(condition)
    assert finding.status == status
    assert word in str(finding.remedy)


def test_a_store_without_a_limit_is_never_full() -> None:
    assert store_finding(replace(WELL, used_bytes=10**12, limit_bytes=None)).status == "ok"


@pytest.mark.parametrize("status", [replace(ENGINE, ready=False, detail="None."), "No answer within 2 s."])
def test_an_engine_that_takes_no_sets(status: EngineStatus | str) -> None:
    finding = engine_finding(status)
    assert finding.status == "failing"
    assert "coreface worker" in str(finding.remedy)


def test_a_pack_that_decides_nothing() -> None:
    finding = pack_finding(make_pack(calibrated=False))
    assert (finding.status, "calibrate" in str(finding.remedy)) == ("warning", True)


@pytest.mark.parametrize(
    ("engine", "name", "status", "word"),
    [
        (replace(ENGINE, members=(WORKER, replace(WORKER, version="0.9"))), "workers", "warning", "0.9, 1.0"),
        (replace(ENGINE, providers=("CPU", "GPU")), "workers", "warning", "CPU, GPU"),
        (replace(ENGINE, oldest_s=16.0), "queue", "warning", "16.0 s"),
        (replace(ENGINE, members=(WORKER, replace(WORKER, same_key=False))), "sealing_key", "failing", "1 worker"),
        (replace(ENGINE, members=(replace(WORKER, same_key=None),)), "sealing_key", "ok", "same"),
    ],
)
def test_of_an_engine_that_is_not_well(engine: EngineStatus, name: str, status: str, word: str) -> None:
    finding = further(engine=engine)[name]
    assert finding.status == status
    assert word in finding.detail
    assert (finding.remedy is None) == (status == "ok")


@pytest.mark.parametrize(
    ("skew_s", "status", "word"), [(3.0, "warning", "ahead"), (-60, "warning", "behind"), (-1, "ok", "")]
)
def test_of_a_clock(skew_s: float, status: str, word: str) -> None:
    finding = further(replace(WELL, clock_skew_s=skew_s))["clock"]
    assert finding.status == status
    assert word in finding.detail


def test_another_api_process_with_another_key() -> None:
    assert further(replace(WELL, same_key=False))["sealing_key"].status == "failing"
    assert further(replace(WELL, same_key=None))["sealing_key"].status == "ok"


def test_of_what_cannot_be_asked_nothing_is_said() -> None:
    assert set(further("gone", "gone")) == {"sealing_key"}
