"""uvicorn around the application, so that start-up errors keep their type and signals mean: finish, then end."""

from __future__ import annotations

import asyncio
import math
import signal
import socket

import uvicorn
from fastapi import FastAPI

from service.api.draining import Draining, draining_of
from service.http_listening import SignalFreeServer

_KEEP_ALIVE_S = 30
_FINISH_GRACE_S = 5
"""For what was taken, beyond what a request may take: receiving it, and the last words."""
_MAX_HEADER_BYTES = 32 * 1024


async def serve_http(
    application: FastAPI, listener: socket.socket, *, drain_delay_s: float, request_timeout_s: float
) -> None:
    """Serve until SIGINT or SIGTERM, finish what was taken, close the application. `request_timeout_s`: of a request.

    For `drain_delay_s` seconds after the first signal everything is answered as before, but for readiness. A second
    signal cuts that short; a SIGINT after that does not wait for what was taken. Raises what opening the application
    raises.
    """
    config = uvicorn.Config(
        application,
        # Opened here instead: the server would turn an error of start-up into a traceback in the log.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(request_timeout_s) + _FINISH_GRACE_S,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )
    server = SignalFreeServer(config)
    loop = asyncio.get_running_loop()
    stop = _Stop(server, draining_of(application), drain_delay_s, loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.on_signal, number)
    async with application.router.lifespan_context(application):
        await server.serve(sockets=[listener])


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
