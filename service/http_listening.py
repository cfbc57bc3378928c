"""Listening sockets and the server around them, for every process that answers HTTP."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.errors import SetupError

_BACKLOG = 512
_SEND_BUFFER_BYTES = 128 * 1024
"""Linux takes twice as much. By itself it would keep megabytes for a client that reads slowly or not at all, and tell a
connection of any progress only after a third of them."""
_OTHER_FILES = 256
"""Of a process beside its clients' connections: those to the store, its log, its libraries."""


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
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, who, remedy, error) from error
    return listener


def allow_open_files(connections: int) -> None:
    """Let this process hold so many connections, and a quarter more for those that are told they are too many. Raises
    `SetupError` where the system does not allow it."""
    wanted = connections + connections // 4 + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:
        raise SetupError(
            f"{connections} connections need {wanted} open files, and this process may have {hard}: raise `ulimit -Hn` "
            "or lower COREFACE_LIMITS__MAX_CONNECTIONS."
        ) from error


class SignalFreeServer(uvicorn.Server):
    """Leaves signals to whoever runs the loop: uvicorn would raise them again, and so end the process too early."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _cannot_listen(host: str, port: int, who: str, remedy: str, error: OSError) -> SetupError:
    return SetupError(f"{who} cannot listen on {host}:{port}: {error.strerror}. {remedy}")
