"""`coreface serve`: the store, the API and the workers as child processes of one supervisor.

start   embedded Valkey (unless there is a Redis URL), workers and API together, then wait until ready
watch   a child that ends is started again, after a pause that doubles up to `_MAX_PAUSE_S`
stop    the API first (it finishes what it has taken), then the workers, then the store
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
import urllib.request  # nosemgrep: no-fetching  (asks its own children on this machine, nobody else)
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.child_processes import start_child
from service.errors import SetupError
from service.store.embedded import EmbeddedValkey

SETUP_FAILED = 78
"""Exit status of a child that refuses to start (`EX_CONFIG` of sysexits.h): starting it again would not help."""

_POLL_S = 0.05
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 10.0
_STEADY_S = 30.0
"""A child that lived this long gets its next restart without a long pause."""
_FINISH_GRACE_S = 10.0

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process to keep alive."""

    name: str
    """For the operator: `api`, `worker 1`."""
    command: Sequence[str]
    """First word: an absolute path."""


class _Restarts:
    """When something that ended may be started again: the pause doubles until it once holds for a while."""

    def __init__(self) -> None:
        self._pause_s = _FIRST_PAUSE_S
        self._started_at = 0.0
        self._restart_at = 0.0

    def note_start(self) -> None:
        self._started_at = time.monotonic()

    def note_end(self) -> None:
        now = time.monotonic()
        steady = now - self._started_at > _STEADY_S
        self._pause_s = _FIRST_PAUSE_S if steady else min(2 * self._pause_s, _MAX_PAUSE_S)
        self._restart_at = now + self._pause_s

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._restart_at


class _Child:
    """A planned process and its present incarnation."""

    def __init__(self, plan: ChildPlan) -> None:
        self.plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = _Restarts()

    def start(self, environment: Mapping[str, str]) -> None:
        # SIGKILL: without its supervisor nobody would end a child that does not listen. Jobs are not lost by it.
        self.process = start_child(self.plan.command, death_signal=signal.SIGKILL, env=environment)
        self.restarts.note_start()

    def take_exit(self) -> int | None:
        """The exit status, once, of a process that has ended; the pause before the next one then runs."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.process = None
        self.restarts.note_end()
        return status

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Runs until SIGINT or SIGTERM. A second signal stops without waiting."""

    def __init__(
        self,
        *,
        api: ChildPlan,
        workers: Sequence[ChildPlan],
        environment: Mapping[str, str],
        store: EmbeddedValkey | None,
        ready_url: str,
        ready_timeout_s: float,
        drain_delay_s: float,
        request_timeout_s: float,
        report: Report,
    ) -> None:
        """`environment` is the children's; with a `store` its URL is added. `ready_url` answers 200 when ready, within
        `ready_timeout_s` of the start. The API begins to stop `drain_delay_s` seconds after it was told to; it, and the
        workers after it, may then take somewhat longer than a request may."""
        self._api = _Child(api)
        self._workers = [_Child(plan) for plan in workers]
        self._environment = dict(environment)
        self._store = store
        self._store_restarts = _Restarts()
        self._store_up = False
        self._ready_url = ready_url
        self._ready_timeout_s = ready_timeout_s
        self._drain_delay_s = drain_delay_s
        self._finish_s = request_timeout_s + _FINISH_GRACE_S
        self._report = report
        # Without the proxies of the environment: the service is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._stopping = threading.Event()
        self._hurry = threading.Event()

    def run(self) -> int:
        """Start, watch, stop; the exit status. Raises `EmbeddedStoreError`, and `SetupError` when the service never
        becomes ready. Call it from the main thread."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._run()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _run(self) -> int:
        status = 0
        try:
            if self._store is not None:
                self._report("starting the embedded store")
                self._environment["COREFACE_REDIS_URL"] = self._store.start()
                self._store_restarts.note_start()
                self._store_up = True
            self._report(f"starting the API and {len(self._workers)} worker(s)")
            for child in self._children:
                child.start(self._environment)
            self._wait_until_ready()
            while not self._stopping.wait(_POLL_S):
                self._watch()
        finally:
            if not self._stop():
                status = 1
        return status

    @property
    def _children(self) -> list[_Child]:
        # Workers first: loading networks takes longest.
        return [*self._workers, self._api]

    def _on_signal(self, _number: int, _frame: object) -> None:
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while not self._stopping.wait(_POLL_S):
            self._watch()
            if self._is_ready():
                self._report("ready")
                return
            if time.monotonic() > deadline:
                raise SetupError(
                    f"The service was not ready within {self._ready_timeout_s:.0f} s; see {self._ready_url}."
                )

    def _is_ready(self) -> bool:
        try:
            with self._opener.open(self._ready_url, timeout=1.0):
                return True
        except OSError:
            return False  # not listening yet, or 503 with the reasons

    def _watch(self) -> None:
        if self._store is not None:
            self._watch_store(self._store)
        self._watch_children()

    def _watch_store(self, store: EmbeddedValkey) -> None:
        if store.running:
            return
        if self._store_up:
            self._store_up = False
            self._store_restarts.note_end()
            self._report("the embedded store ended; starting it again")
        elif self._store_restarts.due:
            # Not waited for: the children find it by themselves when it has loaded its data.
            store.spawn()
            self._store_restarts.note_start()
            self._store_up = True

    def _watch_children(self) -> None:
        for child in self._children:
            status = child.take_exit()
            if status == SETUP_FAILED:
                raise SetupError(f"The {child.plan.name} process cannot start; its reason stands above.")
            if status is not None:
                self._report(f"{child.plan.name} ended with status {status}; starting it again")
            elif child.process is None and child.restarts.due:
                child.start(self._environment)

    def _stop(self) -> bool:
        """Whether everything ended by itself."""
        self._report("stopping")
        gracefully = True
        for group, delay_s in (([self._api], self._drain_delay_s), (self._workers, 0.0)):
            deadline = time.monotonic() + delay_s + self._finish_s
            for child in group:
                child.ask_to_stop()
            for child in group:
                gracefully &= self._wait_for(child, deadline)
        if self._store is not None:
            self._store.stop()
        return gracefully

    def _wait_for(self, child: _Child, deadline: float) -> bool:
        while child.process is not None and child.process.poll() is None:
            if self._hurry.is_set() or time.monotonic() > deadline:
                child.kill()
                return False
            time.sleep(_POLL_S)
        return True
