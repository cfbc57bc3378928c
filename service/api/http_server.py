"""uvicorn around the application, so that start-up errors keep their type and signals mean: finish, then end."""

from __future__ import annotations

import asyncio
import functools
import gc
import math
import signal
import socket
from collections.abc import Sequence
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from service.api.dependencies import metrics_of
from service.api.draining import Draining, draining_of
from service.api.http_connection import BoundedHttpConnection, ConnectionLimits
from service.http_listening import SignalFreeServer
from service.settings import Limits

_KEEP_ALIVE_S = 30
_FINISH_GRACE_S = 5
"""For what was taken, beyond what a request may take: receiving it, and the last words."""


async def serve_http(
    application: FastAPI,
    listeners: Sequence[socket.socket],
    *,
    drain_delay_s: float,
    limits: Limits,
    admin_port: int | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, finish what was taken, close the application. `admin_port`: of a listener whose
    connections are never too many.

    For `drain_delay_s` seconds after the first signal everything is answered as before, but for readiness. A second
    signal cuts that short; a SIGINT after that does not wait for what was taken. Raises what opening the application
    raises.
    """
    server = build_server(application, limits, admin_port)
    loop = asyncio.get_running_loop()
    stop = _Stop(server, draining_of(application), drain_delay_s, loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.on_signal, number)
    async with application.router.lifespan_context(application):
        # What is there by now stays: the collector would look at all of it again and again, 60 ms each time.
        gc.collect()
        gc.freeze()
        await server.serve(sockets=list(listeners))


def build_server(application: FastAPI, limits: Limits, admin_port: int | None = None) -> SignalFreeServer:
    """A server that neither opens the application nor listens yet."""
    metrics = metrics_of(application)
    connection = functools.partial(
        BoundedHttpConnection,
        limits=ConnectionLimits(limits.header_timeout_s, limits.max_connections, admin_port),
        note_cut=metrics.connection_cut,
    )
    config = uvicorn.Config(
        application,
        http=cast(Any, connection),
        ws="none",
        # Opened by `serve_http` instead: the server would turn an error of start-up into a traceback in the log.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For is nobody's word but a trusted hop's: `service.api.client_address`.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(limits.request_timeout_s) + _FINISH_GRACE_S,
    )
    server = SignalFreeServer(config)
    metrics.follow_connections(server.server_state.connections)
    return server


class _Stop:
    """Turns signals into the steps of stopping: say so, close the listener, do not wait."""

    def __init__(
        self, server: SignalFreeServer, draining: Draining, delay_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._server = server
        self._draining = draining
        self._delay_s = delay_s
        self._loop = loop

    def on_signal(self, number: int) -> None:
        first = not self._draining.announced
        self._draining.announce()
        if first and self._delay_s > 0:
            # Clients that keep their connections come back over new ones, which lead elsewhere.
            self._server.config.encoded_headers.append((b"connection", b"close"))
            self._loop.call_later(self._delay_s, self._close)
        else:
            self._server.handle_exit(number, None)

    def _close(self) -> None:
        self._server.should_exit = True
