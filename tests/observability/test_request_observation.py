from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from service.observability.metrics import Metrics
from service.observability.request_context import RequestIdMiddleware, request_id_of
from service.observability.request_observation import RequestObservationMiddleware


class Route:
    path = "/v1/templates/{template_id}"


class Application:
    """Answers 204 and remembers what it saw."""

    def __init__(self) -> None:
        self.request_id = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_id = request_id_of(scope)
        scope["route"] = Route()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(headers: list[tuple[bytes, bytes]]) -> tuple[Application, Metrics, list[dict[str, Any]], dict[bytes, bytes]]:
    application, metrics = Application(), Metrics()
    stack = RequestIdMiddleware(RequestObservationMiddleware(application, metrics))
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/v1/templates/secret-id", "headers": headers}
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        asyncio.run(stack(scope, receive, send))
    return application, metrics, list(logs), dict(sent[0]["headers"])


@pytest.mark.parametrize("given", ["abcd-1234", "A" * 64, "0.0_0-0.0"])
def test_a_safe_id_of_the_client_is_kept(given: str) -> None:
    application, _, logs, headers = ask([(b"x-request-id", given.encode())])
    assert application.request_id == given
    assert headers[b"x-request-id"] == given.encode()
    assert logs[0]["request_id"] == given


@pytest.mark.parametrize("given", ["", "short", "A" * 65, "new\nline-123", '"},{"a":"b'])
def test_any_other_id_is_replaced(given: str) -> None:
    application, _, _, headers = ask([(b"x-request-id", given.encode())])
    assert application.request_id != given
    assert len(application.request_id) == 32
    assert headers[b"x-request-id"] == application.request_id.encode()


def test_the_route_is_logged_and_counted_never_the_path() -> None:
    _, metrics, logs, _ = ask([])
    assert (logs[0]["route"], logs[0]["status"], logs[0]["method"]) == (Route.path, 204, "GET")
    assert "secret-id" not in repr(logs)
    assert f'route="{Route.path}",status="204"' in metrics.render().decode()
