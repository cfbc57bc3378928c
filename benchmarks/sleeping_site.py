"""A site on the loopback interface whose workers sleep instead of computing: real Redis, API and worker processes."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from service.cli.process_figures import cpu_seconds
from service.settings import Settings
from tests.cluster.members import Member, answers
from tests.cluster.store_server import StoreServer
from tests.end_to_end.running_service import free_port

DECODE_THREADS = 2


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds so far."""

    api: float
    workers: float
    store: float

    def since(self, earlier: CpuTimes) -> CpuTimes:
        return CpuTimes(self.api - earlier.api, self.workers - earlier.workers, self.store - earlier.store)


class SleepingSite:
    """One Redis server, one API process, and as many workers as are asked for."""

    def __init__(self, directory: Path, api: Sequence[str] = ("service", "api")) -> None:
        """`api`: module and words that run an API process when a port is added to them."""
        self._directory = directory
        self._store = StoreServer(directory / "store", free_port(), max_memory="1gb")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("COREFACE_")} | {
            "COREFACE_REDIS_URL": self._store.url,
            "COREFACE_SEALING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "COREFACE_STATE_DIR": str(directory / "state"),
            "COREFACE_PACKS_DIR": str(Settings().packs_path),
            "COREFACE_THREADS": str(DECODE_THREADS),
        }
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._api = self._member("api", [*api, "--port", str(port)], f"{self.url}/health/live")
        self._workers: list[Member] = []

    @property
    def api_pid(self) -> int:
        return self._api.pid

    def __enter__(self) -> SleepingSite:
        try:
            for member in (self._store.member, self._api):
                member.start()
                member.wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def set_workers(self, count: int) -> None:
        """Start or stop some, until there are so many."""
        while len(self._workers) > count:
            member = self._workers.pop()
            member.terminate()
            member.wait()
        while len(self._workers) < count:
            port = free_port()
            ready = f"http://127.0.0.1:{port}/health/ready"
            self._workers.append(self._member(f"worker {port}", ["benchmarks.sleeping_worker", str(port)], ready))
            self._workers[-1].start()
        for member in self._workers:
            member.wait_until_ready()

    def cpu_times(self) -> CpuTimes:
        with self._store.admin() as admin:
            used = admin.info("cpu")
        return CpuTimes(
            api=cpu_seconds(self._api.pid),
            workers=sum(cpu_seconds(member.pid) for member in self._workers),
            store=used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"],
        )

    def _member(self, name: str, module: Sequence[str], ready_url: str) -> Member:
        command = [sys.executable, "-m", *module]
        return Member(name, command, self._environment, self._directory / f"{name}.log", answers(ready_url))

    def _end(self) -> None:
        for member in (*self._workers, self._api, self._store.member):
            member.end()


def machine_ticks() -> tuple[int, int]:
    """Of all cores so far: at work, and in all."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def busy_share(earlier: tuple[int, int], later: tuple[int, int]) -> float:
    """Of the time between."""
    return (later[0] - earlier[0]) / max(1, later[1] - earlier[1])
