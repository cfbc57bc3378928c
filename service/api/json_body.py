"""JSON bodies that carry images, read as a stream.

A JSON parser needs the whole text and holds the event loop while it works; with 128 MiB of base64 that is a tenth
of a second in which nobody else is served. So long strings are lifted out of the text while it arrives and decoded
piece by piece; what is left is small, and parsed at the end with short stand-ins in their place.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import dataclass

import orjson

from service.api.base64_stream import Base64StreamDecoder
from service.errors import InvalidRequestError, RequestTooLargeError, TooManySamplesError

SHORT_STRING_BYTES = 512
"""Longer strings are lifted. A backslash and the byte that it escapes count as one."""
MAX_TEXT_BYTES = 128 * 1024
"""Of what is left of the text, stand-ins not counted."""
_STAND_IN_BYTES = 320
"""Longer than any text field may be, so that a lifted string in the wrong place is refused as too long."""

# Possessive, so that a match never goes back: everything up to the first string that is long or not yet whole, and
# what belongs to a string up to its closing quotation mark.
_TEXT_AND_SHORT_STRINGS = re.compile(rb'(?:[^"]++|"(?:[^"\\]|\\.){0,%d}+")*+' % SHORT_STRING_BYTES, re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A parsed body and the binary values that were lifted out of it."""

    document: object
    lifted: dict[str, bytes | None]
    """Stand-in -> bytes; None for a string that is no base64."""


class JsonBodyReader:
    """Feed it the body's chunks, then `finish`."""

    def __init__(self, *, max_value_bytes: int, max_values: int) -> None:
        self._max_value_bytes = max_value_bytes
        self._max_values = max_values
        self._stem = secrets.token_hex(_STAND_IN_BYTES // 2)
        self._text = bytearray()
        self._text_bytes = 0
        self._lifted: dict[str, Base64StreamDecoder] = {}
        self._string: bytearray | None = None
        self._value: Base64StreamDecoder | None = None
        self._escape_is_open = False

    def feed(self, chunk: bytes) -> None:
        """Raises `RequestTooLargeError`, `TooManySamplesError`."""
        at = 0
        while at < len(chunk):
            at = self._read_text(chunk, at) if self._string is None else self._read_string(chunk, at)

    @property
    def size(self) -> int:
        """Bytes of what was read."""
        return len(self._text) + sum(value.size for value in self._lifted.values())

    def finish(self) -> JsonBody:
        """Raises `InvalidRequestError` unless the text is one JSON value. Numbers that are not finite, which are no
        JSON, are read all the same, for the schema to point at. Copies what was lifted: not for the event
        loop, if it is large."""
        if self._string is not None:
            raise InvalidRequestError("The JSON body ends inside a string.")
        try:
            document = orjson.loads(self._text)
        except orjson.JSONDecodeError as error:
            document = _read_with_numbers_that_are_not_finite(bytes(self._text))
            if document is None:
                raise InvalidRequestError("The body is not valid JSON.") from error
        return JsonBody(document, {stand_in: value.finish() for stand_in, value in self._lifted.items()})

    def _read_text(self, chunk: bytes, at: int) -> int:
        match = _TEXT_AND_SHORT_STRINGS.match(chunk, at)
        end = at if match is None else match.end()
        self._append(chunk[at:end])
        if end < len(chunk):  # at a quotation mark
            self._string = bytearray()
            end += 1
        return end

    def _read_string(self, chunk: bytes, at: int) -> int:
        match = _REST_OF_STRING.match(chunk, at + self._escape_is_open)
        end = at if match is None else match.end()
        closes = chunk[end : end + 1] == b'"'
        # What neither closes the string nor ends the chunk is a backslash, its escaped byte still to come.
        self._escape_is_open = not closes and end < len(chunk)
        self._take(chunk[at : end if closes else len(chunk)])
        if not closes:
            return len(chunk)
        self._end_string()
        return end + 1

    def _take(self, piece: bytes) -> None:
        if self._value is not None:
            self._value.feed(piece)
            return
        assert self._string is not None  # noqa: S101
        self._string += piece
        if _is_long(self._string):
            if len(self._lifted) >= self._max_values:
                raise TooManySamplesError(f"The body holds more than {self._max_values} samples.")
            self._value = Base64StreamDecoder(self._max_value_bytes)
            self._value.feed(bytes(self._string))

    def _end_string(self) -> None:
        assert self._string is not None  # noqa: S101
        if self._value is None:
            self._append(b'"' + self._string + b'"')
        else:
            stand_in = f"{self._stem}-{len(self._lifted)}"
            self._lifted[stand_in] = self._value
            self._text += b'"%b"' % stand_in.encode()
        self._string = self._value = None

    def _append(self, piece: bytes | bytearray) -> None:
        self._text += piece
        self._text_bytes += len(piece)
        if self._text_bytes > MAX_TEXT_BYTES:
            raise RequestTooLargeError(f"The JSON body holds more than {MAX_TEXT_BYTES} bytes beside its samples.")


def _is_long(string: bytearray) -> bool:
    """By the same count as `_TEXT_AND_SHORT_STRINGS`, so that it does not matter in which pieces a string arrives."""
    if len(string) <= SHORT_STRING_BYTES or len(string) > 2 * SHORT_STRING_BYTES:
        return len(string) > SHORT_STRING_BYTES
    return len(string) - len(_ESCAPE.findall(string)) > SHORT_STRING_BYTES


def _read_with_numbers_that_are_not_finite(text: bytes) -> object:
    """The document, where NaN, Infinity or 1e999 is all that keeps the text from being JSON; None otherwise. That is
    how a broken vector usually arrives."""
    found = False

    def read(number: str) -> float:
        nonlocal found
        value = float(number)
        found = found or not math.isfinite(value)
        return value

    try:
        document = json.loads(text.decode(), parse_constant=read, parse_float=read, parse_int=read)
    except (ValueError, RecursionError):
        return None
    return document if found else None
