"""The worker's own HTTP endpoint: liveness, readiness and metrics, for whoever watches the process.

It takes no sets: those come over the stream.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import NotReadyError
from service.http_listening import SignalFreeServer
from service.observability.worker_metrics import WorkerMetrics

Obstacle = Callable[[], str | None]
"""Why the worker is sent no sets right now, in a sentence; None while it is."""

_KEEP_ALIVE_S = 30
_STOP_TIMEOUT_S = 1
"""Answers are made at once: whatever takes longer to go out has nobody reading it."""


@asynccontextmanager
async def answering(listener: socket.socket, obstacle: Obstacle, metrics: WorkerMetrics) -> AsyncIterator[None]:
    """Answer on `listener` inside this event loop, and close it at the end."""
    config = uvicorn.Config(
        build_worker_application(obstacle, metrics),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
    )
    server = SignalFreeServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def build_worker_application(obstacle: Obstacle, metrics: WorkerMetrics) -> Starlette:
    """`/health/live`, `/health/ready` and `/metrics`, with the bodies that the API answers."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_request: Request) -> Response:
        reason = obstacle()
        if reason is None:
            return JSONResponse({"status": "ready"})
        problem = {
            "type": f"urn:coreface:problem:{NotReadyError.code}",
            "title": NotReadyError.title,
            "status": NotReadyError.status,
            "detail": reason,
            "code": NotReadyError.code,
        }
        headers = {"Retry-After": str(NotReadyError.retry_after_s)}
        return JSONResponse(problem, NotReadyError.status, headers, "application/problem+json")

    async def scrape(_request: Request) -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", scrape)],
    )
