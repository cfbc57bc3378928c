"""One process of a cluster: started, watched and harmed by tests."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from service.child_processes import start_child

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.05


class Member:
    """A process that may be started again and again: same command, same port, one log.

    `command`: first word an absolute path. `is_ready` is asked until it says yes; it may raise what a connection
    that cannot be made raises.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        is_ready: Callable[[], bool],
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.environment = dict(environment)
        """Of its next incarnation."""
        self._command = command
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Without waiting for it."""
        with self.log_path.open("ab") as log:
            # It ends with the test process, however that ends.
            self._process = start_child(self._command, death_signal=signal.SIGKILL, env=self.environment, stdout=log)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.ready:
            if not self.running:
                raise RuntimeError(f"{self.name} ended while it was waited for:\n{self.log()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} was not ready within {START_TIMEOUT_S:g} s:\n{self.log()}")
            time.sleep(_POLL_S)

    @property
    def ready(self) -> bool:
        try:
            return self.running and self._is_ready()
        except OSError:
            return False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the present or last incarnation."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def terminate(self) -> None:
        """SIGTERM: finish, then end. Returns at once; see `wait`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash would; returns when it is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self) -> int:
        """Its exit status, once it has ended; fails when it does not end within a minute."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """End it gracefully, start it again, and return when it is ready."""
        self.terminate()
        self.wait()
        self.start()
        self.wait_until_ready()

    def end(self) -> None:
        """SIGKILL, whatever state it is in, also never started."""
        if self._process is not None:
            self.kill()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def answers(url: str) -> Callable[[], bool]:
    """Whether a GET of this URL succeeds."""

    def ask() -> bool:
        try:
            return httpx.get(url, timeout=5.0).is_success
        except httpx.TransportError:
            return False

    return ask
