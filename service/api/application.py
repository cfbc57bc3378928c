"""The HTTP application around working parts that somebody else opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import Lifespan

from service.api import console, docs_page, health, packs, subjects, templates, verification
from service.api.dependencies import ServiceParts
from service.api.doors import NO_DOORS, Doors, DoorsMiddleware
from service.api.draining import Draining
from service.api.openapi import install_openapi
from service.api.problems import UnexpectedErrorMiddleware, install_problem_handlers, problem_codes
from service.api.security_headers import SecurityHeadersMiddleware
from service.observability.metrics import Metrics
from service.observability.request_context import RequestIdMiddleware
from service.observability.request_observation import RequestObservationMiddleware

API_VERSION = "1.0.0"
"""Of what the document describes: the first number is that of `/v1`. The build's own version is another."""

PartsOpener = Callable[[Metrics], AbstractAsyncContextManager[ServiceParts]]
"""Opens everything at start-up and closes it at shut-down."""


def build_application(open_parts: PartsOpener, doors: Doors = NO_DOORS, *, with_console: bool = True) -> FastAPI:
    """Routes, problem documents, request ids, log and metrics; the parts live as long as the application runs."""
    metrics = Metrics(problem_codes())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts(metrics) as parts:
            app.state.parts = parts
            yield

    app = _with_routes(lifespan)
    if with_console:
        app.include_router(console.router)
    app.state.draining = Draining()
    app.state.readiness = health.ReadinessMemory()
    app.state.metrics = metrics
    app.state.body_turn = asyncio.Lock()
    install_problem_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(DoorsMiddleware, doors=doors)
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(RequestObservationMiddleware, metrics=metrics)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    return app


def describe_api() -> dict[str, Any]:
    """The OpenAPI document."""
    return _with_routes(None).openapi()


def _with_routes(lifespan: Lifespan[FastAPI] | None) -> FastAPI:
    app = FastAPI(
        title="coreface",
        summary="Face templates from sample sets, and 1:1 verification",
        description="Errors are RFC 9457 problem documents with a stable `code`.",
        version=API_VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in (templates, subjects, verification, packs, health, docs_page):
        app.include_router(module.router)
    install_openapi(app)
    return app
