"""A client's connection: uvicorn's, with an end to everything that a client may be waited for.

    awaited of the client                        for how long           then
    the header of a request                      header timeout         408, or nothing where not a byte came
    the rest of a body that was answered         header timeout         closed
    the next request                             keep-alive timeout     closed (uvicorn's own)
    that it reads what it was sent               header timeout for     closed
                                                 each further piece

A body that somebody reads has the pace of `service.api.request_body`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

import h11
import structlog
from fastapi import Response
from starlette.datastructures import MutableHeaders
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.api.http_parsing import Refusal, StrictConnection
from service.api.problems import HTTP_ERROR, coreface_problem, problem_response
from service.api.security_headers import add_security_headers
from service.errors import CorefaceError, SlowRequestError, TooManyConnectionsError
from service.observability.request_context import REQUEST_ID_HEADER, request_id_of

MAX_HEADER_BYTES = 32 * 1024
_UNREAD_PACE_BYTES = 5_000
"""Of what is sent, a client reads so many further bytes in each header timeout."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: on, no seconds."""
_SURPLUS = 1.25
"""Times `max_connections`: up to there a connection too many is told so before it is closed."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    header_timeout_s: float
    max_connections: int
    exempt_port: int | None = None
    """Of this process; connections there are never too many."""


class _Awaited(Enum):
    """Of the client; the values are labels of a metric."""

    HEADER = "slow_header"
    REST_OF_BODY = "slow_body"
    READING = "unread_answer"


class BoundedHttpConnection(H11Protocol):
    """`note_cut` is called with the reason whenever a connection is ended early."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
        note_cut: Callable[[str], None],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(h11.SERVER, MAX_HEADER_BYTES)
        self._limits = limits
        self._note_cut = note_cut
        self._log = structlog.stdlib.get_logger("coreface.connection")
        self._awaited: _Awaited | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._refused = False
        """Answered here and half closed: what still comes is thrown away."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        open_connections = len(self.connections)
        if open_connections > self._limits.max_connections and not self._is_exempt():
            self._note_cut("too_many")
            if open_connections > self._limits.max_connections * _SURPLUS:
                transport.abort()
                return
            self._refuse(TooManyConnectionsError("This process has as many connections as it takes; try again."))
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what the parser refused. `msg` does not say what that was; the parser does."""
        self._note_cut("malformed")
        self._refuse(self.conn.refusal or Refusal(HTTPStatus.BAD_REQUEST, msg))

    def _is_exempt(self) -> bool:
        return self.server is not None and self.server[1] == self._limits.exempt_port

    def _watch(self) -> None:
        """To be called after whatever may have changed what is awaited."""
        awaited = self._what_is_awaited()
        if awaited is not self._awaited:
            self._stop_timer()
            self._awaited = awaited
            if awaited is not None:
                self._start_timer()

    def _what_is_awaited(self) -> _Awaited | None:
        """None: nothing, or what somebody else watches."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            return _Awaited.READING
        if self._refused:
            return _Awaited.REST_OF_BODY
        if self.conn.their_state is h11.IDLE:
            # uvicorn waits for the next request itself, but for the first one, and after the rest of an answered body.
            is_waited_for = self.timeout_keep_alive_task is not None
            return None if is_waited_for and not self._has_begun_header() else _Awaited.HEADER
        is_answered = self.cycle is not None and self.cycle.response_complete
        return _Awaited.REST_OF_BODY if is_answered and self.conn.their_state is h11.SEND_BODY else None

    def _has_begun_header(self) -> bool:
        received, _ = self.conn.trailing_data
        return bool(received)

    def _start_timer(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(self._limits.header_timeout_s, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._awaited = None

    def _on_timeout(self) -> None:
        awaited = self._awaited
        assert awaited is not None  # noqa: S101
        if awaited is _Awaited.READING and self._is_being_read():
            self._awaited = None
            self._watch()
        elif awaited is _Awaited.HEADER and not self._has_begun_header():
            self.transport.close()  # made in advance, and not used: no answer to a request that was never sent
            self._watch()
        else:
            self._cut(awaited)

    def _cut(self, awaited: _Awaited) -> None:
        if not self._refused:
            self._note_cut(awaited.value)
        if awaited is _Awaited.HEADER:
            timeout_s = self._limits.header_timeout_s
            self._refuse(SlowRequestError(f"The header did not arrive within {timeout_s:g} seconds."))
            self._watch()
            return
        if awaited is _Awaited.READING:
            # Else the system would go on offering what nobody reads.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _is_being_read(self) -> bool:
        unread_bytes = self.transport.get_write_buffer_size()
        return not unread_bytes or self._unread_bytes - unread_bytes >= _UNREAD_PACE_BYTES

    def _refuse(self, refusal: CorefaceError | Refusal) -> None:
        """Answer, unless an answer has begun, and close this half: closing both while something still comes would take
        the answer away from who has not read it yet."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        self._refused = True
        self._unset_keepalive_if_required()
        request_id = secrets.token_hex(16)
        if self.cycle is not None and not self.cycle.response_complete:
            request_id = request_id_of(cast(Scope, self.scope)) or request_id
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        scope: Scope = {"state": {"request_id": request_id}}
        if isinstance(refusal, CorefaceError):
            response = coreface_problem(scope, refusal)
        else:
            response = problem_response(scope, refusal.status, HTTP_ERROR.code, HTTP_ERROR.title, refusal.detail)
        self._log.info("connection_refused", status=response.status_code, reason=refusal.detail, request_id=request_id)
        self.transport.write(_serialised(response, request_id))
        self.transport.write_eof()
        self.flow.resume_reading()


def _serialised(response: Response, request_id: str) -> bytes:
    headers = MutableHeaders(raw=response.raw_headers)
    headers[REQUEST_ID_HEADER] = request_id
    headers["Connection"] = "close"
    add_security_headers(headers)
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + bytes(response.body)
