"""How a real API process stops."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from tests.cli.test_processes import running
from tests.end_to_end.running_service import free_port

DELAY_S = 3.0
Start = Callable[[int, float], AbstractContextManager[subprocess.Popen[bytes]]]


class Stream:
    """Requests one after the other, each on a connection of its own, until one cannot be made."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[int] = []
        self.cut_off_at = 0.0
        """Monotonic seconds."""

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.statuses.append(httpx.get(f"{self._url}/v1/packs/current", timeout=10.0).status_code)
            except httpx.TransportError:
                self.cut_off_at = time.monotonic()
                return


@pytest.fixture
def start(default_pack_path: Path, valkey_url: str, tmp_path: Path) -> Start:
    """An API process on a port, with a drain delay in seconds."""

    def started(port: int, delay_s: float) -> AbstractContextManager[subprocess.Popen[bytes]]:
        settings = {"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url}
        return running(port, tmp_path / "log", **settings, DRAIN_DELAY_S=str(delay_s))

    return started


def test_for_the_drain_delay_only_readiness_changes(start: Start) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with start(port, DELAY_S) as process, Stream(url) as stream:
        signalled_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        while "process: " not in httpx.get(f"{url}/health/ready").text:
            pass
        told = httpx.get(f"{url}/v1/packs/current")
        assert told.status_code == 200
        while told.headers.get("connection") != "close":
            told = httpx.get(f"{url}/v1/packs/current")
        assert process.wait(20) == 0
    assert set(stream.statuses) == {200}
    assert stream.cut_off_at - signalled_at >= DELAY_S


def test_a_second_signal_skips_the_delay(start: Start) -> None:
    with start(free_port(), 60.0) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_without_a_delay_it_stops_at_once(start: Start) -> None:
    with start(free_port(), 0.0) as process:
        process.send_signal(signal.SIGTERM)
        started_at = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - started_at < 5
