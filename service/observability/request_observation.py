"""One log line, one set of counts and one span per request."""

from __future__ import annotations

import logging
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability import tracing
from service.observability.metrics import Metrics
from service.observability.request_context import PROBE_PATHS
from service.observability.store_calls import observing_store_calls

UNMATCHED_ROUTE = "unmatched"
CLIENT_GONE_STATUS = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestObservationMiddleware:
    """Pure ASGI. Logs and counts the route's pattern, never the path: a path holds template ids."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.stdlib.get_logger("coreface.request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = CLIENT_GONE_STATUS

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.request_started()
        try:
            with observing_store_calls(self._metrics):
                await self._app(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        matched = scope.get("route")
        route = UNMATCHED_ROUTE if matched is None else matched.path
        code: str | None = scope.get("state", {}).get("problem_code")
        self._metrics.request_ended(method, route, status, seconds, code)
        _describe_span(method, route, status, code)
        self._log.log(
            logging.DEBUG if route in PROBE_PATHS else logging.INFO,
            "request",
            method=method,
            route=route,
            status=status,
            code=code,
            seconds=round(seconds, 4),
        )


def note_samples(count: int) -> None:
    """For the request's span: how many samples came with it."""
    tracing.current_span().note({"coreface.request.samples": count})


def _describe_span(method: str, route: str, status: int, code: str | None) -> None:
    span = tracing.current_span()
    span.rename(f"{method} {route}")
    span.note({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if code is not None:
        span.note({"coreface.problem.code": code})
    if status >= 500:
        span.fail(code or str(status))
