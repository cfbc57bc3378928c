"""A store that is gone, hangs, is slow, full or read-only: what needs none goes on, the rest says so, at once; and all
goes on by itself when the store does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.cluster.members import START_TIMEOUT_S
from tests.end_to_end.running_service import free_port
from tests.resilience.canaries import CanarySet
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.raw_http import Answer, Connection
from tests.resilience.site import Site, until
from tests.resilience.slow_link import SlowLink

CLIENTS = 8
JSON = {"content-type": "application/json"}


@contextmanager
def gone(site: Site) -> Iterator[None]:
    site.store.kill()
    try:
        yield
    finally:
        site.store.start()
        site.store.wait_until_ready()


@contextmanager
def hung(site: Site) -> Iterator[None]:
    site.store.pause()
    try:
        yield
    finally:
        site.store.resume()


@contextmanager
def full(site: Site) -> Iterator[None]:
    with site.store_admin() as admin:
        before = admin.config_get("maxmemory")["maxmemory"]
        admin.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            admin.config_set("maxmemory", before)


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    """A replica of a server that is not there."""
    with site.store_admin() as admin:
        admin.replicaof("127.0.0.1", free_port())
        try:
            yield
        finally:
            admin.replicaof("NO", "ONE")


@dataclass(frozen=True, slots=True)
class Fault:
    inject: Callable[[Site], AbstractContextManager[None]]
    reads: bool
    """Whether what is kept can still be read."""
    reason: str
    """Part of what readiness says."""


FAULTS = {
    "gone": Fault(gone, False, "does not answer"),
    "hung": Fault(hung, False, "does not answer"),
    "full": Fault(full, True, "is full"),
    "read-only": Fault(read_only, True, "is read-only"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_without_a_store_that_works_the_rest_goes_on(
    site: Site, name: str, count: Callable[[int, int], int], measured: Measure
) -> None:
    fault = FAULTS[name]
    enrolled = Enrolled(site)
    with fault.inject(site):
        until(lambda: not any(site.balanced()))
        _assert_degraded(site, enrolled, fault, count(2, 25), measured)
    measured(
        sets_made_again_after_s=f"{_time_until_made(site):.2f}", ready_again_after_s=f"{site.wait_until_ready():.2f}"
    )
    site.wait_until_balanced()


def test_a_slow_store_is_slow_and_a_very_slow_one_is_no_store(
    tmp_path: Path, count: Callable[[int, int], int], measured: Measure, default_pack_path: Path
) -> None:
    site = Site(tmp_path, apis=1, workers=1)
    with SlowLink(urlsplit(site.store_url).port or 0) as link:
        behind = site.store_url.replace(f":{urlsplit(site.store_url).port}/", f":{link.port}/")
        for member in (*site.apis, *site.workers):
            member.environment["COREFACE_REDIS_URL"] = behind
        with site:
            enrolled = Enrolled(site)
            link.delay_s = 0.05
            began = time.monotonic()
            enrolled.verify_by_id(200)
            with site.client() as client:
                assert client.post("/v1/templates", content=CanarySet.fresh().body(), headers=JSON).status_code == 201
            measured(set_and_comparison_with_50_ms_more_each_way_s=f"{time.monotonic() - began:.2f}")
            link.delay_s = 0.5
            until(lambda: not any(site.balanced()))
            _assert_degraded(site, enrolled, Fault(gone, False, "does not answer"), count(2, 25), measured)
            link.delay_s = 0.0
            measured(sets_made_again_after_s=f"{_time_until_made(site):.2f}")


class Enrolled:
    """A template from before the fault."""

    def __init__(self, site: Site) -> None:
        self._site = site
        body = CanarySet.fresh().body("vector", "sealed_template")
        with site.client() as client:
            made = client.post("/v1/templates", content=body, headers=JSON)
        assert made.status_code == 201, made.text
        self.by_id = {"template_id": made.json()["template_id"]}
        self.vector = {"vector": made.json()["vector"], "fingerprint": made.json()["fingerprint"]}
        self.sealed = {"sealed_template": made.json()["sealed_template"]}

    def verify_by_id(self, status: int) -> None:
        with self._site.client() as client:
            answer = client.post("/v1/verify", json={"reference": self.by_id, "probe": self.by_id})
        assert answer.status_code == status, answer.text


def _assert_degraded(site: Site, enrolled: Enrolled, fault: Fault, rounds: int, measured: Measure) -> None:
    """Through the balancer, as a client sees it; health of the process itself."""
    seconds: dict[str, list[float]] = {"without store": [], "503": []}
    asked: Counter[str] = Counter()

    def ask_for(sides: tuple[dict[str, Any], dict[str, Any]]) -> tuple[str, bytes]:
        return "/v1/verify", orjson.dumps({"reference": sides[0], "probe": sides[1]})

    async def client() -> None:
        connection = Connection(site.url)
        for _ in range(rounds):
            for sides in ((enrolled.vector, enrolled.sealed), (enrolled.sealed, enrolled.vector)):
                answer = await timed(connection, "without store", *ask_for(sides))
                assert (answer.status, answer.json()["decision"]) == (200, "match")
            unavailable = [("/v1/templates", CanarySet.fresh().body())]
            stored = ask_for((enrolled.by_id, enrolled.sealed))
            if fault.reads:
                assert (await connection.ask("POST", *stored)).json()["decision"] == "match"
            else:
                unavailable.append(stored)
            for path, body in unavailable:
                answer = await timed(connection, "503", path, body)
                assert (answer.status, answer.code) == (503, "store_unavailable"), answer.body
                assert "retry-after" in answer.headers
        connection.close()

    async def timed(connection: Connection, kind: str, path: str, body: bytes) -> Answer:
        began = time.monotonic()
        answer = await connection.ask("POST", path, body)
        seconds[kind].append(time.monotonic() - began)
        asked[kind] += 1
        return answer

    async def clients() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(client())

    asyncio.run(clients())
    for url in site.api_urls:
        assert httpx.get(f"{url}/health/live", timeout=5.0).status_code == 200
        ready = httpx.get(f"{url}/health/ready", timeout=5.0)
        assert ready.status_code == 503
        [store] = [check for check in ready.json()["checks"] if check["name"] == "store"]
        assert not store["ok"]
        assert fault.reason in store["detail"]
    measured(
        requests=dict(asked),
        without_store_ms=quantiles_ms(seconds["without store"]),
        unavailable_ms=quantiles_ms(seconds["503"]),
    )


def _time_until_made(site: Site) -> float:
    """Seconds until a set is made into a template again."""
    began = time.monotonic()
    with site.client() as client:
        while client.post("/v1/templates", content=CanarySet.fresh().body(), headers=JSON).status_code != 201:
            assert time.monotonic() - began < START_TIMEOUT_S
            time.sleep(0.01)
    return time.monotonic() - began
