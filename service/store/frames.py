"""Strict msgpack frames: a fixed row of typed fields, read one by one.

Nothing is decoded into objects by name, so a frame can only ever become the values that its reader asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgpack
import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")

_FLOAT32 = np.dtype("<f4")
_LARGE_BYTES = 64 * 1024
"""Too long for a shorter length than msgpack's `bin 32`."""
_BIN_32 = b"\xc6"


class FrameError(ValueError):
    """The bytes are not the frame that was expected. Never holds the bytes."""


def pack_frame(fields: Sequence[object]) -> bytes:
    """One frame from a row of None, bool, int, float, str, bytes and nested rows."""
    packer = msgpack.Packer(use_bin_type=True, autoreset=False)
    pieces: list[bytes] = []
    _pack(fields, packer, pieces)
    pieces.append(packer.bytes())
    return b"".join(pieces)


def _pack(field: object, packer: msgpack.Packer, pieces: list[bytes]) -> None:
    # msgpack itself would copy images while it keeps every other thread from running, the event loop's among them, and
    # take milliseconds for a megabyte; joining lets go of the interpreter.
    if isinstance(field, list | tuple):
        packer.pack_array_header(len(field))
        for inner in field:
            _pack(inner, packer, pieces)
    elif isinstance(field, bytes) and len(field) >= _LARGE_BYTES:
        pieces += [packer.bytes(), _BIN_32 + len(field).to_bytes(4, "big"), field]
        packer.reset()
    else:
        packer.pack(field)


def array_field(values: NDArray[np.float32]) -> bytes:
    """An array as a field: its float32 values, little-endian, in C order."""
    return values.astype(_FLOAT32, copy=False).tobytes()


class FrameReader:
    """Reads a row of exactly `count` fields in order. Every method raises `FrameError`."""

    def __init__(self, row: object, count: int) -> None:
        if not isinstance(row, list) or len(row) != count:
            raise FrameError(f"Expected a row of {count} fields.")
        self._row: list[object] = row
        self._next = 0

    @property
    def count(self) -> int:
        """Fields of the row, read or not."""
        return len(self._row)

    @classmethod
    def unpack(cls, frame: bytes, count: int) -> FrameReader:
        """A reader of the one row in `frame`."""
        try:
            return cls(msgpack.unpackb(frame, raw=False, use_list=True), count)
        except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
            raise FrameError("The bytes are no msgpack frame of this kind.") from error

    def skip(self, count: int) -> None:
        """Leave so many fields unread."""
        self._next += count

    def text(self, max_length: int = 200) -> str:
        """A string of at most `max_length` characters."""
        value = self._take()
        if not isinstance(value, str) or len(value) > max_length:
            raise FrameError("Expected a short text.")
        return value

    def data(self) -> bytes:
        value = self._take()
        if not isinstance(value, bytes):
            raise FrameError("Expected bytes.")
        return value

    def integer(self) -> int:
        value = self._take()
        if not isinstance(value, int) or isinstance(value, bool):
            raise FrameError("Expected an integer.")
        return value

    def number(self) -> float:
        """A finite number."""
        return _number(self._take())

    def array(self, *shape: int) -> NDArray[np.float32]:
        """Finite float32 values of this shape, read-only; -1 stands for any length but none."""
        data = self.data()
        if not data or len(data) % _FLOAT32.itemsize:
            raise FrameError("Expected float32 values.")
        try:
            values = np.frombuffer(data, _FLOAT32).reshape(shape)
        except ValueError as error:
            raise FrameError(f"Expected an array of shape {shape}.") from error
        if not np.isfinite(values).all():
            raise FrameError("Expected finite values.")
        return values

    def numbers(self, count: int) -> tuple[float, ...]:
        """Exactly `count` finite numbers."""
        return _numbers(self._take(), count)

    def rows_of_numbers(self, count: int) -> tuple[tuple[float, ...], ...]:
        """Any number of rows of exactly `count` finite numbers each."""
        return tuple([_numbers(row, count) for row in self._list()])

    def row(self, count: int) -> FrameReader:
        """A nested row of exactly `count` fields."""
        return FrameReader(self._take(), count)

    def row_of(self, *counts: int) -> FrameReader:
        """A nested row of one of these numbers of fields."""
        value = self._take()
        if not isinstance(value, list) or len(value) not in counts:
            raise FrameError(f"Expected a row of {counts} fields.")
        return FrameReader(value, len(value))

    def rows(self, count: int) -> list[FrameReader]:
        """Any number of nested rows of `count` fields each."""
        return [FrameReader(row, count) for row in self._list()]

    def many(self, read: Callable[[FrameReader], Value]) -> tuple[Value, ...]:
        """Any number of single fields, each read by `read`."""
        values = self._list()
        reader = FrameReader(values, len(values))
        return tuple([read(reader) for _ in values])

    def optional(self, read: Callable[[FrameReader], Value]) -> Value | None:
        """The next field by `read`, which takes this one alone, or None where it is nil."""
        if self._next < len(self._row) and self._row[self._next] is None:
            self._next += 1
            return None
        return read(self)

    def _list(self) -> list[object]:
        value = self._take()
        if not isinstance(value, list):
            raise FrameError("Expected a list.")
        return value

    def _take(self) -> object:
        try:
            value = self._row[self._next]
        except IndexError:
            raise FrameError("The frame is shorter than expected.") from None
        self._next += 1
        return value


def _number(value: object) -> float:
    if isinstance(value, float):  # as most are, and a report has thirty of them
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = float(value)
    else:
        raise FrameError("Expected a finite number.")
    if not math.isfinite(number):
        raise FrameError("Expected a finite number.")
    return number


def _numbers(row: object, count: int) -> tuple[float, ...]:
    if not isinstance(row, list) or len(row) != count:
        raise FrameError(f"Expected a row of {count} fields.")
    return tuple([_number(value) for value in row])
