from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.api.doors import Doors
from service.settings import Limits
from tests.api.raw_sockets import exchange
from tests.api.running_api import RunningApi
from tests.api.smuggling import BAD_HOSTS, SMUGGLED
from tests.cluster.cluster import BALANCER_CONFIGURATION
from tests.cluster.members import Member, answers
from tests.end_to_end.running_service import free_port
from tests.servers import RunningServer, ServerKind

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy not installed")

READ_AS_GOOD = {"the same host twice"}
"""What the balancer repairs."""


def environment(port: int, operators_port: int, apis: int = 1) -> dict[str, str]:
    return {
        "COREFACE_BALANCER_BIND": f"127.0.0.1:{port}",
        "COREFACE_BALANCER_METRICS_BIND": f"127.0.0.1:{operators_port}",
        **{f"COREFACE_API_{number}": f"127.0.0.1:{free_port()}" for number in range(1, apis + 1)},
    }


@contextmanager
def balancer(directory: Path, **settings: str) -> Iterator[str]:
    """Its URL. `settings`: other values of its environment."""
    port, operators_port = free_port(), free_port()
    command = [shutil.which("haproxy") or "", "-db", "-f", str(BALANCER_CONFIGURATION)]
    ready = answers(f"http://127.0.0.1:{operators_port}/health")
    member = Member("balancer", command, environment(port, operators_port) | settings, directory / "log", ready)
    member.start()
    try:
        member.wait_until_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        member.end()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a balancer whose API process is not there."""
    with balancer(tmp_path_factory.mktemp("haproxy")) as started:
        yield started


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, _shared_servers: Callable[[ServerKind], RunningServer]
) -> Iterator[tuple[str, RunningApi]]:
    """A balancer, and the API process behind it."""
    doors = Doors(host="127.0.0.1")
    with (
        RunningApi(_shared_servers(ServerKind.VALKEY).url, Limits(), doors=doors) as api,
        balancer(tmp_path_factory.mktemp("haproxy"), COREFACE_API_1=f"127.0.0.1:{api.port}") as started,
    ):
        # Ready by its own check, which asks by another name.
        deadline = time.monotonic() + 20.0
        while httpx.get(f"{started}/v1/packs/current").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield started, api


@pytest.mark.parametrize("apis", [1, 2, 4])
def test_the_configuration_is_valid(apis: int) -> None:
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(BALANCER_CONFIGURATION)],
        env={"PATH": "/usr/sbin:/usr/bin", **environment(8080, 8081, apis)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr


def test_without_an_api_process_it_answers_as_the_service_would(url: str) -> None:
    response = httpx.get(f"{url}/v1/packs", headers={"X-Request-ID": 'quoted"-and-long'})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "not_ready"
    # An id that is not safe to repeat is replaced.
    assert len(response.json()["request_id"]) == 36


def answer_to(url: str, sent: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20.0) as connection:
        connection.sendall(sent)
        return connection.recv(65536)


def test_a_slow_header_and_a_slow_body_are_cut_off(url: str) -> None:
    body = b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    started_at = time.monotonic()
    with ThreadPoolExecutor() as threads:
        in_header, in_body = threads.map(lambda sent: answer_to(url, sent), (b"GET / HT", body))
    assert time.monotonic() - started_at < 15
    assert in_header.startswith(b"HTTP/1.1 408 ")
    assert in_body.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"http_error"' in in_body


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def answered(api: RunningApi, method: str = "") -> int:
    """Requests (of this method) that the API process has answered, but for those that watch it."""
    lines = [
        line for line in api.client.get("/metrics").text.splitlines() if f'_requests_total{{method="{method}' in line
    ]
    return sum(int(float(line.split()[-1])) for line in lines if "/health/" not in line and "/metrics" not in line)


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_no_request_is_hidden_in_another_one(site: tuple[str, RunningApi], sent: bytes) -> None:
    url, api = site
    before = answered(api, "PUT")
    answer = exchange(port_of(url), sent, silence_s=3.0)
    assert answer.closed
    (status,) = answer.statuses
    assert status in (400, 422, 501)
    assert b"the-hidden-one" not in answer.received
    # Nor was it answered to the balancer.
    assert answered(api, "PUT") == before


@pytest.mark.parametrize("name", sorted(BAD_HOSTS.keys() - READ_AS_GOOD))
def test_bad_hosts_and_targets_are_refused_behind_it_too(site: tuple[str, RunningApi], name: str) -> None:
    url, api = site
    before = answered(api)
    answer = exchange(port_of(url), BAD_HOSTS[name], silence_s=3.0)
    assert answer.closed
    assert answer.statuses == [400]
    assert answered(api) == before


def test_a_name_that_is_not_the_services_is_refused_behind_it_too(site: tuple[str, RunningApi]) -> None:
    url, _ = site
    refused = httpx.get(f"{url}/v1/packs/current", headers={"Host": "rebound.example"})
    assert (refused.status_code, refused.json()["code"]) == (421, "misdirected_request")


def test_browsers_are_told_not_to_guess_or_keep_what_it_answers_itself(url: str) -> None:
    response = httpx.get(f"{url}/v1/packs")
    assert response.status_code == 503
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


def test_its_log_tells_no_path() -> None:
    text = BALANCER_CONFIGURATION.read_text()
    (log_format,) = [line for line in text.splitlines() if "log-format" in line]
    assert not any(field in log_format for field in ("%HP", "%HU", "%r ", "%HQ", "%hr", "path"))
