"""A site on the loopback interface: a Redis server, API processes, workers, and HAProxy in front, all real processes.

    with Cluster(tmp_path, apis=2, workers=3) as cluster:
        cluster.client().get("/v1/packs/current")     # through the balancer
        cluster.workers[0].kill()                     # every member: kill, terminate, pause, resume, restart, log
        cluster.apis[1].restart()
        cluster.wait_until_balanced()                 # the balancer sends work to every API process again
        cluster.store_admin().info("commandstats")    # behind the scenes

HAProxy runs with `deploy/haproxy/haproxy.cfg`, and the store with the access rules of `docker-compose.yml`. Workers
are real ones (`Work.REAL`), or stand-ins that answer made-up embeddings after a settable time
(`tests.cluster.stub_worker`).
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType

import httpx
from redis import Redis

from service.settings import Settings
from tests.cluster.members import START_TIMEOUT_S, Member, answers
from tests.cluster.store_server import StoreServer
from tests.end_to_end.running_service import free_port

BALANCER_CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
MAX_APIS = 4
"""As many as the balancer's configuration names."""
DRAIN_DELAY_S = 3.0
"""Longer than the balancer needs to take an API process out: two checks, 0.5 s apart."""
_POLL_S = 0.05


class Work(StrEnum):
    STUB = "stub"
    REAL = "real"


def missing_programs() -> list[str]:
    """What a cluster needs and this machine does not have."""
    return [name for name in ("haproxy", "redis-server") if shutil.which(name) is None]


class Cluster:
    """Start it as a context manager, in an empty directory; it is ready inside, and gone afterwards."""

    def __init__(
        self,
        directory: Path,
        *,
        apis: int = 2,
        workers: int = 3,
        work: Work = Work.STUB,
        service_s: float = 0.02,
        settings: Mapping[str, str] | None = None,
        max_memory: str = "256mb",
        fsync: str = "everysec",
        certificates: Path | None = None,
        stand_in: str = "tests.cluster.stub_worker",
    ) -> None:
        """`service_s`: compute time of one set with a stand-in, seconds. `settings`: environment of the API processes
        and workers, over the defaults here. `max_memory`, `fsync`, `certificates`: of the store. `stand_in`: module
        that is run instead of a worker, with a port and `service_s`."""
        assert apis <= MAX_APIS
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._store = StoreServer(
            directory / "store", free_port(), max_memory=max_memory, fsync=fsync, certificates=certificates
        )
        self._stand_in = stand_in
        self.store_url = self._store.url
        """As the service is given it."""
        self._environment = _without_settings(os.environ) | {
            "COREFACE_REDIS_URL": self.store_url,
            "COREFACE_SEALING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "COREFACE_STATE_DIR": str(directory / "state"),
            "COREFACE_PACKS_DIR": str(Settings().packs_path),
            "COREFACE_DRAIN_DELAY_S": str(DRAIN_DELAY_S),
            "COREFACE_DEVICE": "cpu",
            "COREFACE_THREADS": "1",
            **(settings or {}),
        }
        self.store = self._store.member
        ports = [free_port() for _ in range(apis)]
        self.api_urls = [f"http://127.0.0.1:{port}" for port in ports]
        """Past the balancer."""
        self.apis = [self._api(number, port) for number, port in enumerate(ports, 1)]
        worker_ports = [free_port() for _ in range(workers)]
        self.worker_urls = [f"http://127.0.0.1:{port}" for port in worker_ports]
        self.workers = [self._worker(number, port, work, service_s) for number, port in enumerate(worker_ports, 1)]
        port, operators_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.operators_url = f"http://127.0.0.1:{operators_port}"
        self.balancer = self._balancer(ports, port, operators_port)

    def __enter__(self) -> Cluster:
        try:
            for member in self.members:
                member.start()
            for member in self.members:
                member.wait_until_ready()
            self.wait_until_balanced()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @property
    def members(self) -> list[Member]:
        """In the order in which they start."""
        return [self.store, *self.workers, *self.apis, self.balancer]

    def client(self) -> httpx.Client:
        """Through the balancer."""
        return httpx.Client(base_url=self.url, timeout=60.0)

    def store_admin(self) -> Redis:
        """A blocking client of the store that may do anything."""
        return self._store.admin()

    def store_stranger(self) -> Redis:
        """A client of the store without a name or a password."""
        return self._store.stranger()

    def balanced(self) -> list[bool]:
        """Which API processes the balancer sends work to."""
        metrics = httpx.get(f"{self.operators_url}/metrics", timeout=5.0).text
        up = 'haproxy_server_status{{proxy="ready",server="api{}",state="UP"}} 1'
        return [up.format(number) in metrics for number in range(1, len(self.apis) + 1)]

    def wait_until_balanced(self, *absent: int) -> None:
        """Until the balancer sends work to every API process but the `absent` ones, counted from 0."""
        wanted = [index not in absent for index in range(len(self.apis))]
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.balanced() != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the balancer sends work to {self.balanced()}, not to {wanted}")
            time.sleep(_POLL_S)

    def roll_apis(self) -> None:
        """Restart one API process after the other, as a rolling update does."""
        for member in self.apis:
            member.restart()
            self.wait_until_balanced()

    def _api(self, number: int, port: int) -> Member:
        command = [sys.executable, "-m", "service", "api", "--host", "127.0.0.1", "--port", str(port)]
        # Alive, not ready: readiness also depends on the store and on the workers, which tests take away.
        return self._member(f"api {number}", command, answers(f"http://127.0.0.1:{port}/health/live"))

    def _worker(self, number: int, port: int, work: Work, service_s: float) -> Member:
        if work is Work.REAL:
            command = [sys.executable, "-m", "service", "worker", "--host", "127.0.0.1", "--port", str(port)]
        else:
            command = [sys.executable, "-m", self._stand_in, str(port), str(service_s)]
        return self._member(f"worker {number}", command, answers(f"http://127.0.0.1:{port}/health/ready"))

    def _balancer(self, api_ports: list[int], port: int, operators_port: int) -> Member:
        binary = shutil.which("haproxy")
        assert binary is not None, "haproxy is not installed"
        environment = {
            "COREFACE_BALANCER_BIND": f"127.0.0.1:{port}",
            "COREFACE_BALANCER_METRICS_BIND": f"127.0.0.1:{operators_port}",
            **{f"COREFACE_API_{number}": f"127.0.0.1:{port}" for number, port in enumerate(api_ports, 1)},
        }
        command = [binary, "-db", "-f", str(BALANCER_CONFIGURATION)]
        ready = answers(f"http://127.0.0.1:{operators_port}/health")
        return Member("balancer", command, environment, self._directory / "balancer.log", ready)

    def _member(self, name: str, command: list[str], is_ready: Callable[[], bool]) -> Member:
        return Member(name, command, self._environment, self._directory / f"{name}.log", is_ready)

    def _end(self) -> None:
        for member in reversed(self.members):
            member.end()


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("COREFACE_")}
