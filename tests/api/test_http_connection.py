"""A real server with short deadlines, and clients that do not keep to HTTP or to any pace."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from service.api.http_server import build_server
from service.http_listening import open_listener
from service.observability.metrics import Metrics
from tests.api.conftest import LIMITS
from tests.api.raw_sockets import Exchange, exchange, read_status
from tests.api.running_api import RunningApi
from tests.api.smuggling import BAD_HOSTS, OLD_OR_UNKNOWN, SMUGGLED
from tests.servers import RunningServer, ServerKind

HEADER_S = 0.6
PACE_S = 0.5
SILENCE_S = 10.0
"""Longer than any deadline here: who waits so long was not closed."""
CONNECTIONS = 8
LARGE_BYTES = 2_000_000
HOST = b"Host: localhost\r\n"
UPLOAD = b"POST /v1/templates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

REFUSED = SMUGGLED | BAD_HOSTS | OLD_OR_UNKNOWN
LIVE = b"GET /health/live HTTP/1.1\r\n%b\r\n" % HOST


@pytest.fixture(scope="module")
def hurried(_shared_servers: Callable[[ServerKind], RunningServer]) -> Iterator[RunningApi]:
    """An application that waits for nobody for long."""
    limits = LIMITS.model_copy(
        update={"header_timeout_s": HEADER_S, "body_pace_s": PACE_S, "max_connections": CONNECTIONS}
    )
    with RunningApi(_shared_servers(ServerKind.VALKEY).url, limits) as api:
        yield api


def cut(api: RunningApi, reason: str) -> float:
    """How many connections were ended for this reason."""
    found = re.search(rf'coreface_cut_connections_total{{reason="{reason}"}} (\S+)', api.client.get("/metrics").text)
    return float(found[1]) if found else 0.0


@contextmanager
def serving(endpoint: Callable[[Request], Response]) -> Iterator[int]:
    """The port of a server that answers `/` so."""
    application = FastAPI()
    application.state.metrics = Metrics()
    application.add_route("/", endpoint)
    server = build_server(application, LIMITS.model_copy(update={"header_timeout_s": HEADER_S}))
    with open_listener("127.0.0.1", 0, who="It", remedy="") as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SILENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def drip(api: RunningApi, head: bytes, drop: bytes) -> Exchange:
    """The head, and then a drop every tenth of a second until the server closes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=SILENCE_S) as connection:
        began = time.monotonic()
        connection.sendall(head)
        connection.settimeout(0.1)
        received = b""
        while time.monotonic() - began < SILENCE_S:
            try:
                data = connection.recv(65536)
                received += data
                if not data:
                    return Exchange(received, True, time.monotonic() - began)
            except TimeoutError:
                connection.sendall(drop)
            except ConnectionError:
                return Exchange(received, True, time.monotonic() - began)
        return Exchange(received, False, SILENCE_S)


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_what_two_servers_may_read_in_two_ways_is_refused_and_closed(hurried: RunningApi, sent: bytes) -> None:
    before = cut(hurried, "malformed")
    answer = exchange(hurried.port, sent, silence_s=SILENCE_S)
    assert answer.closed
    assert answer.statuses in ([400], [501])
    assert (answer.problem["code"], answer.problem["status"]) == ("http_error", answer.statuses[0])
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == answer.problem["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"the-hidden-one" not in answer.received
    assert cut(hurried, "malformed") == before + 1


def test_a_header_that_is_too_long_is_refused(hurried: RunningApi) -> None:
    answer = exchange(hurried.port, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 200_000, silence_s=SILENCE_S)
    assert (answer.closed, answer.statuses) == (True, [431])


@pytest.mark.parametrize(
    "begun", [b"G", b"GET /v1/packs/current HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n"]
)
def test_a_header_that_does_not_end_is_given_up(hurried: RunningApi, begun: bytes) -> None:
    before = cut(hurried, "slow_header")
    silent, dripping = exchange(hurried.port, begun, silence_s=SILENCE_S), drip(hurried, begun, b"x")
    for answer in (silent, dripping):
        assert (answer.closed, answer.statuses) == (True, [408])
        assert answer.problem["code"] == "request_timeout"
        assert answer.seconds >= HEADER_S
    assert cut(hurried, "slow_header") == before + 2


def test_the_header_of_a_later_request_has_the_same_time(hurried: RunningApi) -> None:
    whole = b"GET /v1/packs/current HTTP/1.1\r\n%b\r\n" % HOST
    answer = exchange(hurried.port, whole + whole + b"GET /v1", silence_s=SILENCE_S)
    assert (answer.closed, answer.statuses) == (True, [200, 200, 408])
    assert drip(hurried, whole, b"G").statuses == [200, 408]


def test_a_connection_that_is_not_used_is_closed_without_an_answer(hurried: RunningApi) -> None:
    answer = exchange(hurried.port, b"", silence_s=SILENCE_S)
    assert (answer.closed, answer.received) == (True, b"")


def test_a_connection_that_was_used_waits_for_more(hurried: RunningApi) -> None:
    with socket.create_connection(("127.0.0.1", hurried.port), timeout=SILENCE_S) as connection:
        for _ in range(2):
            connection.sendall(LIVE)
            assert read_status(connection) == 200
            time.sleep(2 * HEADER_S)


def test_a_body_that_stands_still_or_drips_is_given_up(hurried: RunningApi) -> None:
    head = UPLOAD + b"Content-Length: 50000\r\n\r\n"
    for answer in (
        exchange(hurried.port, head + b"{", silence_s=SILENCE_S),
        exchange(hurried.port, head + b" " * 20_000, silence_s=SILENCE_S),
        drip(hurried, head, b" "),
        drip(hurried, UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ):
        assert (answer.closed, answer.statuses) == (True, [408])
        assert answer.problem["code"] == "request_timeout"
        assert answer.headers["connection"] == "close"
        assert answer.seconds >= PACE_S


def test_a_body_that_keeps_the_pace_may_take_longer_than_a_piece(hurried: RunningApi) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"samples": ['
        for _ in range(8):
            time.sleep(PACE_S / 4)
            yield b" " * 6_000
        yield b"]}"

    began = time.monotonic()
    response = hurried.client.post("/v1/templates", content=pieces(), headers={"content-type": "application/json"})
    assert time.monotonic() - began > 2 * PACE_S
    assert (response.status_code, response.json()["code"]) == (422, "no_samples")


@pytest.mark.parametrize("length", [b"Content-Length: 50000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize(("request_line", "status"), [(b"POST /v1/templates", 415), (b"GET /nowhere", 404)])
def test_the_rest_of_an_answered_body_is_not_waited_for(
    hurried: RunningApi, request_line: bytes, status: int, length: bytes
) -> None:
    before = cut(hurried, "slow_body")
    head = b"%b HTTP/1.1\r\n%b%b\r\n\r\n" % (request_line, HOST, length)
    answer = drip(hurried, head, b"1\r\nx\r\n")
    assert (answer.closed, answer.statuses) == (True, [status])
    assert answer.seconds >= HEADER_S
    assert cut(hurried, "slow_body") == before + 1


def test_after_the_rest_of_an_answered_body_the_connection_serves_and_ends(hurried: RunningApi) -> None:
    with socket.create_connection(("127.0.0.1", hurried.port), timeout=SILENCE_S) as connection:
        connection.sendall(b"GET /nowhere HTTP/1.1\r\n%bContent-Length: 4\r\n\r\n" % HOST)
        assert read_status(connection) == 404
        connection.sendall(b"rest" + LIVE)
        assert read_status(connection) == 200
        connection.sendall(b"GET /nowhere HTTP/1.1\r\n%bContent-Length: 4\r\n\r\n" % HOST)
        assert read_status(connection) == 404
        connection.sendall(b"rest")
        assert read_status(connection) == 0


def test_an_answer_that_nobody_reads_is_thrown_away(hurried: RunningApi) -> None:
    before = cut(hurried, "unread_answer")
    ask = b"GET /openapi.json HTTP/1.1\r\n%b\r\n" % HOST
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", hurried.port))
        connection.settimeout(SILENCE_S)
        deadline = time.monotonic() + SILENCE_S
        try:
            # As many answers as fit nowhere: the server stops to read when they pile up.
            while time.monotonic() < deadline:
                connection.sendall(ask * 20)
        except ConnectionError:
            pass
    assert cut(hurried, "unread_answer") == before + 1


def test_an_answer_that_is_read_slowly_is_not() -> None:
    received = 0
    with serving(lambda _request: Response(bytes(LARGE_BYTES))) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(SILENCE_S)
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST)
        while piece := connection.recv(30_000):
            received += len(piece)
            time.sleep(0.04)
    assert received > LARGE_BYTES
    # So that the time for one piece passed, and passed again.
    assert time.monotonic() - began > 3 * HEADER_S


def test_connections_too_many_are_told_so_and_the_others_stay(hurried: RunningApi) -> None:
    hurried.client.close()
    hurried.client = httpx.Client(base_url=f"http://127.0.0.1:{hurried.port}", timeout=20.0)
    with ExitStack() as stack:
        kept: list[socket.socket] = []
        while len(kept) < CONNECTIONS:
            connection = socket.create_connection(("127.0.0.1", hurried.port), timeout=SILENCE_S)
            stack.enter_context(connection)
            connection.sendall(LIVE)
            # Those of other tests may still be about to go.
            if read_status(connection) == 200:
                kept.append(connection)
        refused = exchange(hurried.port, LIVE, silence_s=SILENCE_S)
        assert (refused.closed, refused.statuses) == (True, [503])
        assert refused.problem["code"] == "too_many_connections"
        assert refused.headers["retry-after"] == "1"
        for connection in kept:
            connection.sendall(LIVE)
            assert read_status(connection) == 200
    until(lambda: exchange(hurried.port, LIVE, silence_s=0.2).statuses == [200])
    until(lambda: "coreface_connections 1.0" in hurried.client.get("/metrics").text)
    assert cut(hurried, "too_many") >= 1


def test_what_a_client_says_of_its_own_address_changes_nothing() -> None:
    def answer(request: Request) -> Response:
        assert request.client is not None
        return Response(f"{request.client.host} {request.url.scheme}")

    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=203.0.113.9;proto=https",
    }
    with serving(answer) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/", headers=claims).text == "127.0.0.1 http"


def test_websockets_are_not_spoken(hurried: RunningApi) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    answer = exchange(hurried.port, b"GET /health/live HTTP/1.1\r\n%b%b\r\n" % (HOST, upgrade))
    assert answer.statuses == [200]


def test_a_body_that_was_asked_to_wait_is_waited_for(hurried: RunningApi) -> None:
    with socket.create_connection(("127.0.0.1", hurried.port), timeout=SILENCE_S) as connection:
        connection.sendall(UPLOAD + b"Content-Length: 15\r\nExpect: 100-continue\r\n\r\n")
        assert read_status(connection) == 100
        connection.sendall(b'{"samples": []}')
        assert read_status(connection) == 422
