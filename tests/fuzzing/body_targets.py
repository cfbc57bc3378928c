"""The readers of requests, as a fuzzer calls them: heads, multipart forms, JSON, base64.

Where a reader takes its input in pieces, the first byte of the fuzzer's input says how long they are, and the outcome
must be that of the whole: a reader that saw another request in other pieces could be played off against a balancer.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol, TypeVar

import h11
import orjson
from python_multipart.multipart import parse_options_header

from service.api.base64_stream import Base64StreamDecoder, decode_base64
from service.api.bodies import AddedSamplesBody, PairsBody, ReferencesBody, TemplateBody, VerifyBody
from service.api.http_connection import MAX_HEADER_BYTES
from service.api.http_parsing import StrictConnection
from service.api.json_body import JsonBody, JsonBodyReader
from service.api.multipart_body import MultipartBody, MultipartBodyReader
from service.api.problems import InvalidFieldsError, InvalidVectorFieldsError, coreface_problem
from service.api.uploads import validate_body
from service.errors import InvalidRequestError, RequestError, RequestTooLargeError, TooManySamplesError
from service.settings import Limits

LIMIT = 600
"""Bytes of a sample."""
SAMPLES = 3
LIMITS = Limits(max_sample_bytes=LIMIT, max_samples=SAMPLES)
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
"""RFC 4648, section 4."""
_REFUSALS = (InvalidRequestError, RequestTooLargeError, TooManySamplesError)

_Body = TypeVar("_Body", covariant=True)


class _Reader(Protocol[_Body]):
    def feed(self, chunk: bytes) -> None: ...

    def finish(self) -> _Body: ...


def http_head(data: bytes) -> None:
    size, received = _split(data)
    whole, pieces = _first_request(received, len(received) or 1), _first_request(received, size)
    # What is refused may be refused before all of it is there.
    assert whole == pieces


def _first_request(received: bytes, size: int) -> list[object]:
    """Its head, body and end, or the class of the refusal."""
    connection = StrictConnection(h11.SERVER, MAX_HEADER_BYTES)
    seen: list[object] = []
    body = b""
    for piece in _pieces(received, size):
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                assert connection.refusal is not None
                assert 400 <= connection.refusal.status <= 501
                return [*seen, body, "refused"]
            if isinstance(event, h11.Request):
                seen.append((event.method, event.target, list(event.headers)))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return [*seen, body, "end"]
            else:
                break
    return [*seen, body]


def content_type(data: bytes) -> None:
    """The header of that name, and a boundary from it."""
    name, options = parse_options_header(data.decode("latin-1"))
    assert isinstance(name, bytes)
    with suppress(InvalidRequestError):
        _multipart_reader(options.get(b"boundary", b""))


def multipart(data: bytes) -> None:
    size, body = _split(data)
    whole, pieces = _read_form(body, len(body) or 1), _read_form(body, size)
    assert whole == pieces
    if isinstance(whole, MultipartBody):
        assert len(whole.samples) <= SAMPLES
        assert all(len(sample) <= LIMIT + 1 for sample in whole.samples)


def _read_form(body: bytes, size: int) -> MultipartBody | type[RequestError]:
    return _read(_multipart_reader(b"b"), body, size)


def _multipart_reader(boundary: bytes) -> MultipartBodyReader:
    fields = frozenset({"face_policy", "include"})
    return MultipartBodyReader(boundary, allowed_fields=fields, max_sample_bytes=LIMIT, max_samples=SAMPLES)


def json(data: bytes) -> None:
    size, body = _split(data)
    whole, pieces = _read_json(body, len(body) or 1), _read_json(body, size)
    if not isinstance(whole, JsonBody) or not isinstance(pieces, JsonBody):
        assert whole == pieces
        return
    assert _without_stand_ins(whole) == _without_stand_ins(pieces)
    assert list(map(_usable, whole.lifted.values())) == list(map(_usable, pieces.lifted.values()))
    for model in (TemplateBody, AddedSamplesBody, VerifyBody, PairsBody, ReferencesBody):
        try:
            validate_body(model, whole, LIMITS)
        except (InvalidFieldsError, InvalidVectorFieldsError) as error:
            problem = coreface_problem({"type": "http", "headers": []}, error)
            assert orjson.loads(bytes(problem.body))["status"] == problem.status_code


def _read_json(body: bytes, size: int) -> JsonBody | type[RequestError]:
    return _read(JsonBodyReader(max_value_bytes=LIMIT, max_values=SAMPLES), body, size)


def _read(reader: _Reader[_Body], body: bytes, size: int) -> _Body | type[RequestError]:
    """In pieces of so many bytes: what they make together, or why it is refused."""
    try:
        for piece in _pieces(body, size):
            reader.feed(piece)
        return reader.finish()
    except _REFUSALS as error:
        return type(error)


def _usable(value: bytes | None) -> bytes | None:
    """A value that is both too long and no base64 is refused for what is seen first."""
    return None if value is None or len(value) > LIMIT else value


def _without_stand_ins(body: JsonBody) -> str:
    """As text, because NaN equals nothing."""
    text = repr(body.document)
    for index, stand_in in enumerate(body.lifted):
        text = text.replace(stand_in, f"stand-in {index}")
    return text


def base64(data: bytes) -> None:
    size, text = _split(data)
    whole, pieces = _decode(text, len(text) or 1), _decode(text, size)
    assert _usable(whole) == _usable(pieces)
    if b"\\" not in text and len(text) <= LIMIT:
        assert whole == (binascii.a2b_base64(text) if _BASE64.fullmatch(text) else None)
    if whole is not None:
        assert len(whole) <= LIMIT + 1
    decode_base64(text.decode("latin-1"), LIMIT)


def _decode(text: bytes, size: int) -> bytes | None:
    decoder = Base64StreamDecoder(LIMIT)
    for piece in _pieces(text, size):
        decoder.feed(piece)
    return decoder.finish()


def _split(data: bytes) -> tuple[int, bytes]:
    """Length of a piece, and what comes in pieces."""
    return 1 + data[0] if data else 1, data[1:]


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


BODY_TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (http_head, content_type, multipart, json, base64)
}
