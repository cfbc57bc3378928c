"""The endpoint of real worker processes."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from starlette.testclient import TestClient

from service.engine.worker_http import build_worker_application
from service.observability.worker_metrics import WorkerMetrics
from tests.end_to_end.running_service import free_port
from tests.engine.conftest import KEY, running_remote, until_ready
from tests.engine.fakes import make_request
from tests.engine.polling import until


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port()}", timeout=20.0) as opened:
        yield opened


def start_worker(port: int, redis_url: str, state_dir: Path) -> subprocess.Popen[bytes]:
    settings = {
        "COREFACE_REDIS_URL": redis_url,
        "COREFACE_SEALING_KEY": base64.b64encode(KEY).decode(),
        "COREFACE_STATE_DIR": str(state_dir),
        "COREFACE_WORKER_PORT": str(port),
    }
    return subprocess.Popen([sys.executable, "-m", "tests.engine.fake_worker"], env={**os.environ, **settings})


@asynccontextmanager
async def worker_at(
    client: httpx.AsyncClient, redis_url: str, state_dir: Path
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A worker process with a fake model that answers on the client's port."""
    process = start_worker(client.base_url.port or 0, redis_url, state_dir)
    try:
        await until(lambda: _answers(client))
        yield process
    finally:
        process.kill()
        process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live")).is_success
    except httpx.TransportError:
        return False


async def reason(client: httpx.AsyncClient) -> str:
    """Of a worker that is not ready; empty for one that is."""
    response = await client.get("/health/ready")
    if response.status_code == 200:
        return ""
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"]
    assert response.json()["code"] == "not_ready"
    detail: str = response.json()["detail"]
    return detail


async def test_a_worker_is_ready_until_it_stops_and_tells_what_it_did(
    redis: Redis, valkey_url: str, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with worker_at(client, valkey_url, tmp_path) as process, running_remote(redis) as engine:
        await until_ready(engine)
        assert await reason(client) == ""
        assert (await engine.create(make_request("face"))).aggregation is not None
        task = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
        await until(lambda: _shows(client, "coreface_worker_sets_held 1.0"))
        process.send_signal(signal.SIGTERM)
        await until(lambda: _stopping(client))
        # It still has a set: it lives on, and so does its endpoint.
        assert await _shows(client, "coreface_worker_ready 0.0")
        assert await _shows(client, 'coreface_worker_sets_total{outcome="answered"} 1.0')
        gate.touch()
        assert (await task).aggregation is not None
        assert await asyncio.to_thread(process.wait, 20) == 0


async def test_a_worker_that_its_server_has_not_heard_of_lives_and_is_not_ready(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    async with worker_at(client, f"unix://{tmp_path}/nobody.sock", tmp_path):
        await until(lambda: _has_not_heard(client))
        assert await _answers(client)


def test_a_worker_that_loads_says_so() -> None:
    with TestClient(build_worker_application(lambda: "The model is being loaded.", WorkerMetrics())) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").json()["detail"] == "The model is being loaded."
        assert "process_resident_memory_bytes" in client.get("/metrics").text


async def _shows(client: httpx.AsyncClient, line: str) -> bool:
    return line in (await client.get("/metrics")).text


async def _stopping(client: httpx.AsyncClient) -> bool:
    return await reason(client) == "The worker is stopping."


async def _has_not_heard(client: httpx.AsyncClient) -> bool:
    return await reason(client) == "The server with the jobs has not heard of this worker."
