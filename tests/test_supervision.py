"""The supervisor with small real children: a file server as the API, sleepers as workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.end_to_end.running_service import free_port

PROGRAM = """
import sys
from pathlib import Path
from service.errors import CorefaceError
from service.store.embedded import EmbeddedValkey
from service.supervision import ChildPlan, Supervisor

directory, port, worker, with_store = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "store"
api = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", str(directory)]
try:
    status = Supervisor(
        api=ChildPlan("api", api),
        workers=[ChildPlan("worker 1", [sys.executable, "-c", worker, str(directory)])],
        environment={"PATH": ""},
        store=EmbeddedValkey(directory / "state") if with_store else None,
        ready_url=f"http://127.0.0.1:{port}/ready",
        ready_timeout_s=float(sys.argv[5]),
        drain_delay_s=0.0, request_timeout_s=30.0,
        report=lambda line: print(line, flush=True),
    ).run()
except CorefaceError as error:
    print(error.code, error.detail, flush=True)
    status = 2
sys.exit(status)
"""
WORKER = """
import os, sys, time
from pathlib import Path
with Path(sys.argv[1], "starts").open("a") as stream:
    stream.write(f"{os.getpid()} {os.environ.get('COREFACE_REDIS_URL', '')}\\n")
time.sleep(600)
"""


class Supervised:
    def __init__(
        self,
        directory: Path,
        worker: str = WORKER,
        store: bool = False,
        *,
        ready: bool = True,
        ready_timeout_s: float = 60.0,
    ) -> None:
        self.directory = directory
        if ready:
            (directory / "ready").touch()
        which = "store" if store else "none"
        arguments = [str(directory), str(free_port()), textwrap.dedent(worker), which, str(ready_timeout_s)]
        self.output = directory / "output"
        with self.output.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments], stdout=stream, stderr=subprocess.STDOUT
            )

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.02)

    def says(self, text: str) -> bool:
        return text in self.output.read_text()

    def starts(self) -> list[list[str]]:
        path = self.directory / "starts"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def worker_pids(self) -> list[int]:
        return [int(words[0]) for words in self.starts()]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(**options: object) -> Supervised:
        started.append(Supervised(tmp_path, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for supervised in started:
        if supervised.process.poll() is None:
            supervised.process.kill()
            supervised.process.wait()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_reports_ready_and_stops_on_a_signal(
    supervise: Callable[..., Supervised], number: signal.Signals
) -> None:
    supervised = supervise()
    supervised.wait_for(lambda: supervised.says("ready\n") and len(supervised.starts()) == 1)
    supervised.process.send_signal(number)
    assert supervised.process.wait(20) == 0
    assert not alive(supervised.worker_pids()[0])


def test_a_dead_worker_is_started_again(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise()
    supervised.wait_for(lambda: len(supervised.starts()) == 1)
    os.kill(supervised.worker_pids()[0], signal.SIGKILL)
    supervised.wait_for(lambda: len(supervised.starts()) == 2)
    assert supervised.says("worker 1 ended with status -9")


def test_a_child_that_refuses_to_start_ends_the_whole(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(worker="import sys; sys.exit(78)")
    assert supervised.process.wait(20) == 2
    assert supervised.says("setup_failed")


def test_a_service_that_does_not_become_ready_in_time_ends(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(ready=False, ready_timeout_s=1.0)
    assert supervised.process.wait(20) == 2
    assert supervised.says("setup_failed The service was not ready within 1 s")


def test_children_end_with_a_supervisor_that_is_killed(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise()
    supervised.wait_for(lambda: supervised.says("ready\n") and len(supervised.starts()) == 1)
    supervised.process.kill()
    supervised.process.wait()
    supervised.wait_for(lambda: not alive(supervised.worker_pids()[0]))


def test_a_second_signal_does_not_wait(supervise: Callable[..., Supervised]) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + textwrap.dedent(WORKER)
    supervised = supervise(worker=deaf)
    supervised.wait_for(lambda: supervised.says("ready\n") and len(supervised.starts()) == 1)
    supervised.process.send_signal(signal.SIGTERM)
    supervised.wait_for(lambda: supervised.says("stopping"))
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(20) == 1
    assert not alive(supervised.worker_pids()[0])


def test_the_store_comes_first_and_is_started_again(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(store=True)
    supervised.wait_for(lambda: supervised.says("ready\n") and len(supervised.starts()) == 1)
    assert supervised.starts()[0][1].startswith("unix://") or supervised.starts()[0][1].startswith("redis://")
    with Redis.from_url(supervised.starts()[0][1]) as client:
        first = client.info("server")["process_id"]
        os.kill(first, signal.SIGKILL)
        supervised.wait_for(lambda: supervised.says("the embedded store ended"))

        def back() -> bool:
            try:
                return bool(client.info("server")["process_id"] != first)
            except RedisError:
                return False

        supervised.wait_for(back)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(30) == 0
    assert len(supervised.starts()) == 1


def test_a_service_behind_a_proxy_finds_itself(
    supervise: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    supervised = supervise()
    supervised.wait_for(lambda: supervised.says("ready\n"))


def test_even_a_deaf_child_ends_with_a_supervisor_that_is_killed(supervise: Callable[..., Supervised]) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + textwrap.dedent(WORKER)
    supervised = supervise(worker=deaf, store=True)
    supervised.wait_for(lambda: supervised.says("ready\n") and len(supervised.starts()) == 1)
    with Redis.from_url(supervised.starts()[0][1]) as client:
        store_pid = client.info("server")["process_id"]
    supervised.process.kill()
    supervised.process.wait()
    supervised.wait_for(lambda: not alive(supervised.worker_pids()[0]) and not alive(store_pid))
