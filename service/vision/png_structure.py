"""The chunks of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from service.vision.exif_orientation import UPRIGHT, parse_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type -> bit depths that go with it."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MAX_CHUNKS = 20_000


@dataclass(frozen=True, slots=True)
class PngFrame:
    width: int
    height: int
    raw_bytes: int
    """Of all pixels, inflated."""
    channels: int
    deep: bool
    """16 bits."""
    interlaced: bool


@dataclass(frozen=True, slots=True)
class PngContents:
    orientation: int
    """1..8; 1 where nothing is said."""
    coded: bytes
    """The deflate stream of the pixels."""
    animated: bool


def read_frame(data: bytes) -> PngFrame:
    """From IHDR. Raises `ValueError` for a header that the standard does not know."""
    length, kind = struct.unpack_from(">I4s", data, len(SIGNATURE))
    if kind != b"IHDR" or length != _HEADER_BYTES:
        raise ValueError("the first chunk is no IHDR")
    width, height, depth, color, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth not in _BIT_DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise ValueError("unknown colour type, depth, compression, filter or interlace method")
    # A row begins with a byte that names its filter.
    raw_bytes = height * (1 + (width * _CHANNELS[color] * depth + 7) // 8)
    return PngFrame(width, height, raw_bytes, _CHANNELS[color], depth == 16, bool(interlace))


def read_contents(data: bytes) -> PngContents:
    """Raises `ValueError` unless pixels and IEND are there."""
    orientation, animated = UPRIGHT, False
    coded: list[bytes] = []
    for kind, position, length in _chunks(data):
        if kind == b"eXIf":
            orientation = parse_orientation(data[position : position + length])
        elif kind == b"acTL":
            animated = True
        elif kind == b"IDAT":
            coded.append(data[position : position + length])
        elif kind == b"IEND" and coded:
            return PngContents(orientation, b"".join(coded), animated)
    raise ValueError("the file ends before its IEND chunk")


def only_pixels(data: bytes) -> bytes:
    """The file without what a decoder need not see: further frames, and profiles and texts, which are deflated too."""
    parts = [SIGNATURE]
    for kind, position, length in _chunks(data):
        if kind in _PIXELS:
            parts.append(data[position - 8 : position + length + 4])
        if kind == b"IEND":
            break
    return b"".join(parts)


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
