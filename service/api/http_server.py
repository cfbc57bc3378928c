"""uvicorn around the application, so that start-up errors keep their type and signals mean: finish, then end."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from fastapi import FastAPI

from service.http_listening import SignalFreeServer

_KEEP_ALIVE_S = 30
_DRAIN_S = 35
"""A little more than a request may take by default."""
_MAX_HEADER_BYTES = 32 * 1024


async def serve_http(application: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, finish what was taken, close the application. A second SIGINT does not wait.

    Raises what opening the application raises.
    """
    config = uvicorn.Config(
        application,
        # Opened here instead: the server would turn an error of start-up into a traceback in the log.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )
    server = SignalFreeServer(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    async with application.router.lifespan_context(application):
        await server.serve(sockets=[listener])
