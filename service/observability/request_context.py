"""The request id: taken from the client where it is safe to repeat, made here otherwise."""

from __future__ import annotations

import secrets
from contextlib import nullcontext

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability import tracing
from service.observability.trace_context import (
    TRACEPARENT_HEADER,
    bound_request_id,
    bound_trace,
    is_safe_request_id,
)

REQUEST_ID_HEADER = "X-Request-ID"
PROBE_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Asked every few seconds, by whatever watches the process: no line and no span each."""


def request_id_of(scope: Scope) -> str:
    """The id that `RequestIdMiddleware` gave this request; empty outside it."""
    request_id: str = scope.get("state", {}).get("request_id", "")
    return request_id


class RequestIdMiddleware:
    """Pure ASGI. Puts the id in `scope["state"]["request_id"]`, in every log line and in the answer's header, and
    begins the trace or goes on with the client's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get(REQUEST_ID_HEADER, "")
        request_id = asked if is_safe_request_id(asked) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        traceparent = headers.get(TRACEPARENT_HEADER, "")
        with (
            bound_request_id(request_id),
            nullcontext()
            if scope["path"] in PROBE_PATHS
            else tracing.continued_span(traceparent, "request", tracing.Kind.SERVER),
            bound_trace(traceparent),
        ):
            await self._app(scope, receive, send_with_id)
