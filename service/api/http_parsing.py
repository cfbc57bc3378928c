"""Request heads, parsed as strictly as every server on the way has to agree on them.

h11 forgives what RFC 9112 lets a server forgive: bare line feeds, folded lines, a length beside chunks, a length said
twice. At each of these a balancer and this process may see different requests in the same bytes (request smuggling),
so each is refused here. What h11 refuses by itself stays refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

import h11

_HEAD_END = re.compile(rb"\n\r?\n")
"""As h11 has it, so that no head ends for h11 before it ended here."""
_BARE_OR_FOLDED_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_REQUEST_LINE = re.compile(rb"[^ ]+ (?:/[^ ]*|\*) HTTP/1\.[01]")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_DETAILS: dict[int, str] = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The header, or a line between chunks, is too long.",
    HTTPStatus.NOT_IMPLEMENTED: "Of all transfer codings, `chunked` alone is understood.",
}
"""By the status that h11 hints at."""


class AmbiguousHeadError(h11.RemoteProtocolError):
    """Its message holds nothing of the request."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to answer to bytes that are no request."""

    status: int
    detail: str
    """Holds nothing of the request, unlike h11's messages, which quote it."""


class StrictConnection(h11.Connection):
    """h11's, but for heads that two parsers may read in two ways."""

    refusal: Refusal | None = None
    """Once there was something to refuse."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises `h11.RemoteProtocolError`."""
        try:
            self._check_head()
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = _refusal_of(error)
            raise

    def _check_head(self) -> None:
        if self.their_state is h11.IDLE:
            received, _ = self.trailing_data
            if end := _HEAD_END.search(received):
                refuse_ambiguous_head(received[: end.end()])


def refuse_ambiguous_head(head: bytes) -> None:
    """`head`: request line and fields up to the empty line, which is included. Raises `AmbiguousHeadError`."""
    if _BARE_OR_FOLDED_LINE.search(head):
        raise AmbiguousHeadError("Lines of a header end with CR LF, and none is folded.")
    if _CONTROL.search(head):
        raise AmbiguousHeadError("The header holds a control character.")
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if _REQUEST_LINE.fullmatch(request_line) is None:
        raise AmbiguousHeadError("A request line is a method, a path from `/` on, and HTTP/1.1 or HTTP/1.0.")
    fields = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]
    _refuse_ambiguous_length(fields, is_old=request_line.endswith(b"0"))
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
        raise AmbiguousHeadError("A request has one Host field, with a name or an address and maybe a port.")


def _refuse_ambiguous_length(fields: list[tuple[bytes, bytes]], *, is_old: bool) -> None:
    """`is_old`: of HTTP/1.0, which has no chunks."""
    lengths = [value for name, value in fields if name == b"content-length"]
    is_coded = any(name == b"transfer-encoding" for name, _ in fields)
    if is_coded and (lengths or is_old):
        raise AmbiguousHeadError("A body has a Content-Length or, in HTTP/1.1, is chunked: never both.")
    if len(lengths) > 1 or not all(value.isdigit() for value in lengths):
        raise AmbiguousHeadError("A body has one Content-Length, a number.")


def _refusal_of(error: h11.RemoteProtocolError) -> Refusal:
    status = error.error_status_hint
    if isinstance(error, AmbiguousHeadError):
        return Refusal(status, str(error))
    return Refusal(status, _DETAILS.get(status, "This is no request of HTTP/1.1."))
