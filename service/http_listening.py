"""Listening sockets and the server around them, for every process that answers HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.errors import SetupError

_BACKLOG = 512


def open_listener(host: str, port: int, *, who: str, remedy: str) -> socket.socket:
    """Raises `SetupError`, which says `who` cannot listen and the `remedy`, where somebody else listens already."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named: asyncio sets TCP_NODELAY on connections of such a socket only, and without it each
        # answer on a kept connection waits 40 ms for an acknowledgement.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, who, remedy, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, who, remedy, error) from error
    return listener


class SignalFreeServer(uvicorn.Server):
    """Leaves signals to whoever runs the loop: uvicorn would raise them again, and so end the process too early."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _cannot_listen(host: str, port: int, who: str, remedy: str, error: OSError) -> SetupError:
    return SetupError(f"{who} cannot listen on {host}:{port}: {error.strerror}. {remedy}")
