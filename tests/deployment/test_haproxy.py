from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.cluster.cluster import BALANCER_CONFIGURATION
from tests.cluster.members import Member, answers
from tests.end_to_end.running_service import free_port

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy not installed")


def environment(port: int, operators_port: int, apis: int = 1) -> dict[str, str]:
    return {
        "COREFACE_BALANCER_BIND": f"127.0.0.1:{port}",
        "COREFACE_BALANCER_METRICS_BIND": f"127.0.0.1:{operators_port}",
        **{f"COREFACE_API_{number}": f"127.0.0.1:{free_port()}" for number in range(1, apis + 1)},
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a balancer whose API process is not there."""
    port, operators_port = free_port(), free_port()
    command = [shutil.which("haproxy") or "", "-db", "-f", str(BALANCER_CONFIGURATION)]
    log_path = tmp_path_factory.mktemp("haproxy") / "log"
    ready = answers(f"http://127.0.0.1:{operators_port}/health")
    member = Member("balancer", command, environment(port, operators_port), log_path, ready)
    member.start()
    try:
        member.wait_until_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        member.end()


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


def test_its_log_tells_no_path() -> None:
    text = BALANCER_CONFIGURATION.read_text()
    (log_format,) = [line for line in text.splitlines() if "log-format" in line]
    assert not any(field in log_format for field in ("%HP", "%HU", "%r ", "%HQ", "%hr", "path"))
