"""The chunks of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from service.vision.exif_orientation import UPRIGHT, parse_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type -> bit depths that go with it."""
_MAX_CHUNKS = 20_000


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height from IHDR. Raises `ValueError` for a header that the standard does not know."""
    length, kind = struct.unpack_from(">I4s", data, len(SIGNATURE))
    if kind != b"IHDR" or length != _HEADER_BYTES:
        raise ValueError("the first chunk is no IHDR")
    width, height, depth, color, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth not in _BIT_DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise ValueError("unknown colour type, depth, compression, filter or interlace method")
    return width, height


def read_orientation(data: bytes) -> int:
    """From the eXIf chunk, 1..8; 1 without one. Raises `ValueError` unless pixels and IEND are there."""
    orientation = UPRIGHT
    has_pixels = False
    for kind, position, length in _chunks(data):
        if kind == b"eXIf":
            orientation = parse_orientation(data[position : position + length])
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND" and has_pixels:
            return orientation
    raise ValueError("the file ends before its IEND chunk")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, position and length of the content of each chunk that is whole."""
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return
        yield kind, position + 8, length
        position = end
    raise ValueError("too many chunks")
