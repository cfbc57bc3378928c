"""Requests in which two servers on the way may see different things, by name.

Each ends with the head of a second request, to a path that answers 405: whoever reads the first one's end elsewhere
answers it.
"""

from __future__ import annotations

HIDDEN = b"PUT /v1/verify HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: the-hidden-one\r\n\r\n"
_CHUNKED = b"0\r\n\r\n"


def _post(*fields: bytes, body: bytes, target: bytes = b"/v1/verify", version: bytes = b"HTTP/1.1") -> bytes:
    lines = [b"POST %b %b" % (target, version), b"Host: localhost", b"Content-Type: application/json", *fields]
    return b"\r\n".join([*lines, b"", b""]) + body


_LENGTH = b"Content-Length: %d" % len(HIDDEN)

SMUGGLED = {
    "length and chunks": _post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=_CHUNKED + HIDDEN),
    "chunks and length": _post(b"Transfer-Encoding: chunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "two lengths": _post(b"Content-Length: 0", _LENGTH, body=HIDDEN),
    "the same length twice": _post(_LENGTH, _LENGTH, body=HIDDEN),
    "a list of lengths": _post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a signed length": _post(b"Content-Length: +%d" % len(HIDDEN), body=HIDDEN),
    "a length before a folded line": _post(b"Content-Length: 0\r\n ", body=HIDDEN),
    "a folded coding": _post(b"Transfer-Encoding:\r\n chunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "two codings": _post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=_CHUNKED + HIDDEN),
    "a list of codings": _post(b"Transfer-Encoding: gzip, chunked", body=_CHUNKED + HIDDEN),
    "an unknown coding": _post(b"Transfer-Encoding: xchunked", body=_CHUNKED + HIDDEN),
    "a coding after a vertical tab": _post(b"Transfer-Encoding: \x0bchunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "chunks in HTTP/1.0": _post(b"Transfer-Encoding: chunked", body=_CHUNKED + HIDDEN, version=b"HTTP/1.0"),
    "a blank before the colon": _post(b"Transfer-Encoding : chunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "a line feed alone": _post(b"X-First: 1\nTransfer-Encoding: chunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "a carriage return alone": _post(b"X-First: 1\rTransfer-Encoding: chunked", _LENGTH, body=_CHUNKED + HIDDEN),
    "a head that ends with line feeds": _post(_LENGTH, body=b"").replace(b"\r\n", b"\n") + HIDDEN,
    "a head that ends with one line feed": _post(_LENGTH, body=b"")[:-2] + b"\n" + HIDDEN,
    "a zero byte": _post(b"X-First: \x00", _LENGTH, body=HIDDEN),
    "a field without a name": _post(b": chunked", _LENGTH, body=HIDDEN),
    "a chunk of no number": _post(b"Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + HIDDEN),
    "a chunk that is longer than it says": _post(b"Transfer-Encoding: chunked", body=b"1\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk that ends with a line feed": _post(b"Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n" + HIDDEN),
}
"""No server may see two requests here."""


def _get(*fields: bytes, target: bytes = b"/v1/packs/current", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"GET %b %b" % (target, version), *fields, b"", b""])


BAD_HOSTS = {
    "no host": _get(),
    "no host in HTTP/1.0": _get(version=b"HTTP/1.0"),
    "two hosts": _get(b"Host: localhost", b"Host: elsewhere.example"),
    "the same host twice": _get(b"Host: localhost", b"Host: localhost"),
    "an empty host": _get(b"Host:"),
    "a host with a path": _get(b"Host: localhost/v1"),
    "a host with a user": _get(b"Host: localhost@elsewhere.example"),
    "two hosts in one": _get(b"Host: localhost, elsewhere.example"),
    "a host with a blank": _get(b"Host: local host"),
    "a host with a port of letters": _get(b"Host: localhost:http"),
    "a host with an open bracket": _get(b"Host: [::1"),
    "an absolute target": _get(b"Host: localhost", target=b"http://localhost/v1/packs/current"),
    "an absolute target of another host": _get(b"Host: localhost", target=b"http://elsewhere.example/v1/packs/current"),
    "a target without a path": _get(b"Host: localhost", target=b"v1/packs/current"),
    "an authority as a target": _get(b"Host: localhost", target=b"localhost:80"),
}
OLD_OR_UNKNOWN = {
    "HTTP/0.9": b"GET /v1/packs/current\r\n\r\n",
    "HTTP/2 without asking": _get(b"Host: localhost", version=b"HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
}
