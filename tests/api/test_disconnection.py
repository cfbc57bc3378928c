from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send_upload(api: RunningApi, sample: bytes) -> socket.socket:
    body = b'--b\r\nContent-Disposition: form-data; name="samples"\r\n\r\n' + sample + b"\r\n--b--\r\n"
    connection = socket.create_connection(("127.0.0.1", api.port), timeout=5)
    connection.sendall(
        b"POST /v1/templates HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    return connection


def test_work_for_a_client_that_hung_up_is_dropped(valkey_url: str, fresh_png: Callable[[], bytes]) -> None:
    with RunningApi(valkey_url, LIMITS) as api:
        api.engine.gate = asyncio.Event()
        with send_upload(api, fresh_png()):
            wait_until(api.engine.entered.is_set)
        wait_until(lambda: api.engine.cancelled == 1)
        assert 'status="499"' in api.client.get("/metrics").text


def test_work_that_another_client_still_waits_for_goes_on(valkey_url: str, fresh_png: Callable[[], bytes]) -> None:
    with RunningApi(valkey_url, LIMITS) as api:
        api.engine.gate = asyncio.Event()
        sample = fresh_png()
        with send_upload(api, sample) as patient:
            wait_until(api.engine.entered.is_set)
            with send_upload(api, sample):
                wait_until(lambda: "in_flight 3.0" in api.client.get("/metrics").text)
            wait_until(lambda: "in_flight 2.0" in api.client.get("/metrics").text)
            api.loop.call_soon_threadsafe(api.engine.gate.set)
            assert patient.recv(65536).startswith(b"HTTP/1.1 201")
        assert api.engine.cancelled == 0
        assert len(api.engine.requests) == 1
