"""A whole service, started as a user starts it: supervisor, Valkey, API and worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningService:
    """`coreface serve` on a free port with its own state directory, as a context manager."""

    def __init__(self, state_path: Path, pack_path: Path, environment: Mapping[str, str] | None = None) -> None:
        self._state_path = state_path
        self._pack_path = pack_path
        self.settings = dict(environment or {})
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log_path = state_path / "serve.log"

    def __enter__(self) -> RunningService:
        destination = self._state_path / "packs" / self._pack_path.name
        if not destination.exists():
            shutil.copytree(self._pack_path, destination)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COREFACE_")}
        environment |= {
            "COREFACE_STATE_DIR": str(self._state_path),
            "COREFACE_PACK": self._pack_path.name,
            **self.settings,
        }
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve", "--port", self.url.rsplit(":", 1)[1]],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60.0)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"serve ended with {self._process.returncode}:\n{self.log()}")
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2.0).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"serve was not ready within {START_TIMEOUT_S} s:\n{self.log()}")
