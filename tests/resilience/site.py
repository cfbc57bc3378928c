"""A cluster whose workers fail when they are told to, and what tests ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from service.store import keys
from service.types import DEFAULT_TENANT
from tests.cluster.cluster import Cluster
from tests.cluster.members import Member
from tests.resilience.faulty_worker import FOLDER_VARIABLE, Faults

SERVICE_S = 0.04
_PLENTY_S = 60.0
_STEP_S = 0.01


class Site(Cluster):
    """A worker's batch holds four sets, so that little more than that is on its way to a worker."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        service_s: float = SERVICE_S,
        stand_in: str = "tests.resilience.faulty_worker",
        **options: Any,
    ) -> None:
        folder = directory / "faults"
        folder.mkdir(parents=True)
        self.faults = Faults(folder)
        super().__init__(
            directory,
            service_s=service_s,
            settings={"COREFACE_MAX_BATCH_SETS": "4", FOLDER_VARIABLE: str(folder), **(settings or {})},
            stand_in=stand_in,
            **options,
        )
        self.sets_per_s = len(self.workers) / service_s
        """What the workers can do."""

    def revive_workers(self) -> list[Member]:
        """Start those again that have ended; which they were."""
        ended = [worker for worker in self.workers if not worker.running]
        for worker in ended:
            worker.start()
        return ended

    def wait_until_workers_are_ready(self) -> None:
        for worker in self.workers:
            worker.wait_until_ready()

    def wait_until_ready(self) -> float:
        """Until every API process says it is ready; how many seconds that took."""
        began = time.monotonic()
        for url in self.api_urls:
            until(lambda url=url: httpx.get(f"{url}/health/ready", timeout=10.0).is_success)  # type: ignore[misc]
        return time.monotonic() - began

    def fingerprint(self) -> str:
        """Of the pack that is served."""
        answer = httpx.get(f"{self.api_urls[0]}/v1/packs/current", timeout=10.0)
        return str(answer.json()["fingerprint"])

    def metric(self, url: str, name: str) -> float:
        """Of one process, summed over its labels."""
        lines = httpx.get(f"{url}/metrics", timeout=10.0).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def templates(self) -> int:
        """How many the store keeps."""
        with self.store_admin() as admin:
            return sum(1 for _ in admin.scan_iter(match=f"{keys.template_key(DEFAULT_TENANT, '')}*", count=1000))

    def absent(self, template_ids: list[str]) -> list[str]:
        """Those of the templates that the store does not have."""
        with self.store_admin() as admin:
            pipeline = admin.pipeline(transaction=False)
            for template_id in template_ids:
                pipeline.exists(keys.template_key(DEFAULT_TENANT, template_id))
            found = pipeline.execute()
            return [template_id for template_id, there in zip(template_ids, found, strict=True) if not there]


def job_stream(admin: Redis) -> bytes:
    [name] = admin.keys(keys.job_stream_key("*"))
    return bytes(name)


def jobs_with_workers(admin: Redis) -> set[bytes]:
    """Ids of the jobs that were delivered and are not answered."""
    found = admin.xpending_range(job_stream(admin), keys.WORKER_GROUP, min="-", max="+", count=1000)
    return {entry["message_id"] for entry in found}


def until(condition: Callable[[], object], timeout_s: float = _PLENTY_S) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except (httpx.TransportError, RedisError):
            pass
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(_STEP_S)
