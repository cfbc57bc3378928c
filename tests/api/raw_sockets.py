"""Bytes to a port of the loopback interface, and what comes back: for requests that no client library would send."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Exchange:
    received: bytes
    closed: bool
    """By the server; otherwise it was silent for `silence_s`."""
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """Of all answers, in order."""
        return [int(status) for status in re.findall(rb"(?:^|\})HTTP/1\.[01] (\d{3})", self.received)]

    @property
    def problem(self) -> dict[str, Any]:
        """The body of the last answer."""
        problem: dict[str, Any] = json.loads(self.received.rpartition(b"\r\n\r\n")[2])
        return problem

    @property
    def headers(self) -> dict[str, str]:
        """Of the first answer, names in lower case."""
        lines = self.received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def exchange(port: int, sent: bytes, *, silence_s: float = 1.0) -> Exchange:
    """Send all of it at once, and read until the server closes or has been silent for so long."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        connection.settimeout(silence_s)
        received, closed = b"", False
        try:
            while data := connection.recv(65536):
                received += data
            closed = True
        except TimeoutError:
            pass
        except ConnectionResetError:
            closed = True
        return Exchange(received, closed, time.monotonic() - began)


def read_status(connection: socket.socket) -> int:
    """Of the next answer, which is read to its end, by its Content-Length; 0: the server closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            return 0
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    rest = int(length[1]) - len(body) if length else 0
    while rest > 0:
        rest -= len(connection.recv(rest))
    return int(head.split()[1])
