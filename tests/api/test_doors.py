from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from service.api.doors import OPERATOR_PATHS, Doors
from tests.api.conftest import LIMITS
from tests.api.raw_sockets import exchange
from tests.api.running_api import RunningApi
from tests.end_to_end.running_service import free_port
from tests.servers import RunningServer, ServerKind

HEALTH = ("/health/live", "/health/ready")
CLIENTS_PATHS = ("/v1/packs/current", "/v1/subjects/anna", "/nowhere")


@pytest.fixture(scope="module")
def doors() -> Doors:
    return Doors(host="127.0.0.1", admin_port=free_port(), allowed_hosts=("api.example",))


@pytest.fixture(scope="module")
def guarded(_shared_servers: Callable[[ServerKind], RunningServer], doors: Doors) -> Iterator[RunningApi]:
    """With a port for operators, and a name for clients."""
    limits = LIMITS.model_copy(update={"max_connections": 4})
    with RunningApi(_shared_servers(ServerKind.VALKEY).url, limits, doors=doors) as api:
        yield api


def ask(port: int | None, path: str, host: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host})


def test_operators_paths_are_on_their_own_port_alone(guarded: RunningApi, doors: Doors) -> None:
    for path in OPERATOR_PATHS:
        assert ask(doors.admin_port, path, "localhost").status_code == 200
        public = ask(guarded.port, path, "api.example")
        assert (public.status_code, public.json()["code"]) == (404, "route_not_found")


def test_clients_paths_are_on_the_public_port_alone(guarded: RunningApi, doors: Doors) -> None:
    for path in CLIENTS_PATHS:
        assert ask(guarded.port, path, "api.example").status_code == (404 if path == "/nowhere" else 200)
        admin = ask(doors.admin_port, path, "localhost")
        assert (admin.status_code, admin.json()["code"]) == (404, "route_not_found")


def test_health_is_on_both_under_any_name(guarded: RunningApi, doors: Doors) -> None:
    for port in (guarded.port, doors.admin_port):
        for path in HEALTH:
            assert ask(port, path, "10.1.2.3:8000").status_code == 200


def test_health_in_detail_is_on_both_and_a_name_is_asked_for(guarded: RunningApi, doors: Doors) -> None:
    assert ask(doors.admin_port, "/health", "localhost").status_code == 200
    assert ask(guarded.port, "/health", "api.example").status_code == 200
    assert ask(guarded.port, "/health", "rebound.example").status_code == 421


def test_operators_need_no_key_on_their_own_port(
    _shared_servers: Callable[[ServerKind], RunningServer],
) -> None:
    doors = Doors(host="127.0.0.1", admin_port=free_port())
    with RunningApi(_shared_servers(ServerKind.VALKEY).url, LIMITS, doors=doors, with_keys=True) as api:
        assert ask(doors.admin_port, "/health", "localhost").json()["version"]
        refused = ask(api.port, "/health", "localhost")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "rebound.example", "api.example.rebound.example"])
def test_another_name_is_refused_with_a_code_and_counted(guarded: RunningApi, doors: Doors, host: str) -> None:
    response = ask(guarded.port, "/v1/packs/current", host)
    assert (response.status_code, response.json()["code"]) == (421, "misdirected_request")
    metrics = ask(doors.admin_port, "/metrics", "localhost").text
    assert 'coreface_failures_total{code="misdirected_request"}' in metrics


def test_operators_on_loopback_are_not_reached_by_another_name(guarded: RunningApi, doors: Doors) -> None:
    assert ask(doors.admin_port, "/metrics", "rebound.example").status_code == 421


def test_clients_too_many_do_not_lock_operators_out(guarded: RunningApi, doors: Doors) -> None:
    clients = [httpx.Client(base_url=f"http://127.0.0.1:{guarded.port}") for _ in range(4)]
    try:
        for client in clients:
            client.get("/health/live")
        live = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert exchange(guarded.port, live).statuses == [503]
        assert doors.admin_port is not None
        assert exchange(doors.admin_port, live).statuses == [200]
    finally:
        for client in clients:
            client.close()


def test_with_one_port_everything_is_there(api: RunningApi) -> None:
    for path in (*OPERATOR_PATHS, *HEALTH, "/v1/packs/current"):
        assert api.client.get(path).status_code == 200
