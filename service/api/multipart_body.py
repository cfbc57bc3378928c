"""Multipart uploads, read as a stream and in memory only.

Starlette's form parser spools files to disk and bounds their number but not their bytes; images of faces must not
reach a disk unsealed, and every limit must hold while the bytes arrive. So this reader stands directly on
python-multipart's tokeniser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from service.errors import InvalidRequestError, RequestTooLargeError, TooManySamplesError

SAMPLES_FIELD = "samples"
MAX_FIELDS = 8
MAX_FIELD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class MultipartBody:
    samples: tuple[bytes, ...]
    """In the order of upload; an over-long one is cut to one byte more than the limit."""
    fields: Mapping[str, tuple[str, ...]]
    """The values of each text field, in order."""


@dataclass(slots=True)
class _Part:
    """The part that is being read."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    name: str | None = None
    is_sample: bool = False
    pieces: list[bytes] = field(default_factory=list)
    length: int = 0


class MultipartBodyReader:
    """Feed it the body's chunks, then `finish`."""

    def __init__(
        self, boundary: bytes, *, allowed_fields: frozenset[str], max_sample_bytes: int, max_samples: int
    ) -> None:
        """Raises `InvalidRequestError` for a boundary that cannot be one."""
        self._allowed_fields = allowed_fields
        self._max_sample_bytes = max_sample_bytes
        self._max_samples = max_samples
        self._samples: list[list[bytes]] = []
        self._fields: dict[str, list[str]] = {}
        self._field_count = 0
        self._size = 0
        self._part = _Part()
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
        }
        try:
            self._parser = MultipartParser(boundary, cast(Any, callbacks))
        except FormParserError as error:
            raise InvalidRequestError("The multipart boundary is not valid.") from error

    def feed(self, chunk: bytes) -> None:
        """Raises `InvalidRequestError`, `RequestTooLargeError`, `TooManySamplesError`."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequestError("The multipart body is malformed.") from error

    @property
    def size(self) -> int:
        """Bytes of the samples."""
        return self._size

    def finish(self) -> MultipartBody:
        """Raises `InvalidRequestError` for a body that ends before its last boundary. Joins the pieces of every
        sample: not for the event loop, if they are large."""
        if self._parser.state != MultipartState.END:
            raise InvalidRequestError("The multipart body ends before its closing boundary.")
        samples: list[bytes] = []
        for pieces in self._samples:
            samples.append(b"".join(pieces))
            pieces.clear()  # so that a large set is never held twice
        return MultipartBody(tuple(samples), {name: tuple(values) for name, values in self._fields.items()})

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers[bytes(self._part.header_name).lower()] = bytes(self._part.header_value)
        self._part.header_name.clear()
        self._part.header_value.clear()

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._part.headers.get(b"content-disposition"))
        name = options.get(b"name")
        if disposition != b"form-data" or name is None:
            raise InvalidRequestError("Every part needs the header `Content-Disposition: form-data; name=...`.")
        self._part.name = name.decode("utf-8", "replace")
        self._part.is_sample = self._part.name == SAMPLES_FIELD
        if self._part.is_sample:
            if len(self._samples) >= self._max_samples:
                raise TooManySamplesError(
                    f"More than {self._max_samples} samples; one request holds at most that many."
                )
        elif b"filename" in options:
            raise InvalidRequestError(
                f"Unknown file field {_quoted(self._part.name)}: send every image in a field named `samples`."
            )
        else:
            self._admit_field(self._part.name)

    def _admit_field(self, name: str) -> None:
        if name not in self._allowed_fields:
            known = ", ".join(f"`{known}`" for known in sorted(self._allowed_fields))
            raise InvalidRequestError(f"Unknown field {_quoted(name)}: beside `samples` there are {known}.")
        self._field_count += 1
        if self._field_count > MAX_FIELDS:
            raise InvalidRequestError(f"More than {MAX_FIELDS} fields beside `samples`.")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.is_sample:
            end = min(end, start + self._max_sample_bytes + 1 - part.length)
        part.length += end - start
        if not part.is_sample and part.length > MAX_FIELD_BYTES:
            raise RequestTooLargeError(f"The field {_quoted(part.name or '')} is longer than {MAX_FIELD_BYTES} bytes.")
        part.pieces.append(data[start:end])

    def _on_part_end(self) -> None:
        part = self._part
        if part.is_sample:
            self._samples.append(part.pieces)
            self._size += part.length
        elif part.name is not None:
            try:
                text = b"".join(part.pieces).decode()
            except UnicodeDecodeError as error:
                raise InvalidRequestError(f"The field {_quoted(part.name)} is not UTF-8 text.") from error
            self._fields.setdefault(part.name, []).append(text)
        self._part = _Part()


def _quoted(name: str) -> str:
    return repr(name[:64])
