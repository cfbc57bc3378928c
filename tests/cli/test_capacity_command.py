from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli.process_figures import cpu_seconds, memory_mib
from service.cli.queue_measurement import measure_queue
from tests.capacity.test_profile import written
from tests.cli.conftest import RunCommand

RunJson = Callable[..., tuple[int, Any]]


def test_a_plan_from_costs_that_were_measured_elsewhere(coreface: RunCommand, tmp_path: Path) -> None:
    status, out, _ = coreface(
        *("bench", "capacity", "--profile", written(tmp_path), "--sets-per-second", 10, "--samples", "2-6")
    )
    assert status == 0
    assert "made up; sets of 2-6; p99 within 1000 ms" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("10 ")]
    assert row[1:5] == ["1", "1", "1", "1"]


def test_the_same_as_json(coreface_json: RunJson, tmp_path: Path) -> None:
    arguments = ("bench", "capacity", "--profile", written(tmp_path), "--sets-per-second", 10)
    _, answer = coreface_json(*arguments, "--sets-per-second", 50, "--p99-ms", 500)
    assert answer["profile"]["sample_bytes"] == 8_000
    assert [plan["demand"]["sets_per_s"] for plan in answer["plans"]] == [10, 50]
    assert all(plan["summary"]["p99_s"] <= 0.5 for plan in answer["plans"])
    _, answer = coreface_json(*arguments, "--p99-ms", 5)
    assert answer["plans"][0]["site"] is None


def test_costs_are_written_to_be_read_again(coreface: RunCommand, tmp_path: Path) -> None:
    profile, copy = written(tmp_path), tmp_path / "copy.json"
    coreface("bench", "capacity", "--profile", profile, "--sets-per-second", 1, "--output", copy)
    assert json.loads(copy.read_text()) == json.loads(profile.read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench",),
        ("bench", "capacity"),
        ("bench", "capacity", "--images", ".", "--profile", "p.json"),
        ("bench", "capacity", "--profile", "p.json", "--samples", "many"),
        ("bench", "capacity", "--profile", "p.json", "--samples", "7-3"),
        ("bench", "capacity", "--profile", "no-such-file.json"),
        ("bench", "--images", "/nowhere"),
    ],
)
def test_wrong_usage_is_told(coreface: RunCommand, arguments: tuple[str, ...]) -> None:
    status, _, err = coreface(*arguments)
    assert status == 2
    assert err
    assert "Traceback" not in err


def test_the_queue_is_measured_and_left_as_it_was(make_server: Callable[..., Any]) -> None:
    server = make_server()
    figures = asyncio.run(measure_queue(server.url, sets=40))
    assert figures.cost.of(150_000) > 0
    assert figures.bytes_per_s == pytest.approx(150_000 * figures.sets_per_s)
    with server.client() as client:
        assert client.keys("*") == []


def test_processor_time_and_memory_of_a_process() -> None:
    before = cpu_seconds(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert cpu_seconds(os.getpid()) - before >= 0.08
    assert memory_mib(os.getpid()) > 1
