"""Boxes of ISO base media files (ISO/IEC 14496-12), and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MOST_BOXES = 4_096
_FULL_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Box:
    kind: bytes
    start: int
    """Of the content, bytes from the start of the file."""
    end: int


class BoxReader:
    """Reads big-endian numbers one after the other, within one box. Raises `ValueError` past its end."""

    def __init__(self, data: bytes, box: Box) -> None:
        self._data = data
        self._end = box.end
        self._position = box.start
        self.version = self.flags = 0

    def full_header(self) -> BoxReader:
        """Version and flags, of boxes that have them."""
        self.version, self.flags = self.number(1), self.number(3)
        return self

    def number(self, size: int) -> int:
        """Unsigned, of so many bytes; 0 of none."""
        return int.from_bytes(self.take(size), "big")

    def item(self, *, wide: bool) -> int:
        """The id of an item: four bytes or two."""
        return self.number(4 if wide else 2)

    def take(self, size: int) -> bytes:
        if self._position + size > self._end:
            raise ValueError("a box is cut short")
        self._position += size
        return self._data[self._position - size : self._position]

    def boxes(self) -> Iterator[Box]:
        """The boxes that fill the rest."""
        return walk_boxes(self._data, self._position, self._end)


def walk_boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Raises `ValueError` where one does not end within the range."""
    for _ in range(_MOST_BOXES):
        if start == end:
            return
        length, kind, header = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if length == 1:
            length, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif length == 0:
            length = end - start
        if start + 8 > end or length < header or start + length > end:
            raise ValueError("a box reaches past the end")
        yield Box(kind, start + header, start + length)
        start += length
    raise ValueError("too many boxes")


def children(data: bytes, box: Box, *, full: bool) -> dict[bytes, Box]:
    """By type, the first of each. `full`: version and flags come before them."""
    found: dict[bytes, Box] = {}
    for child in walk_boxes(data, box.start + (_FULL_HEADER_BYTES if full else 0), box.end):
        found.setdefault(child.kind, child)
    return found
