"""The request id: taken from the client where it is safe to repeat, made here otherwise."""

from __future__ import annotations

import re
import secrets

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.trace_context import TRACEPARENT_HEADER, bound_trace

REQUEST_ID_HEADER = "X-Request-ID"
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def request_id_of(scope: Scope) -> str:
    """The id that `RequestIdMiddleware` gave this request; empty outside it."""
    request_id: str = scope.get("state", {}).get("request_id", "")
    return request_id


class RequestIdMiddleware:
    """Pure ASGI. Puts the id in `scope["state"]["request_id"]`, in every log line and in the answer's header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get(REQUEST_ID_HEADER, "")
        request_id = asked if _SAFE_REQUEST_ID.fullmatch(asked) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            bound_trace(headers.get(TRACEPARENT_HEADER, "")),
        ):
            await self._app(scope, receive, send_with_id)
