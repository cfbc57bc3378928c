"""The blocks of a GIF file (GIF89a), without decoding its pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SCREEN_END = 13
_IMAGE = 0x2C
_EXTENSION = 0x21
_TRAILER = 0x3B
_HAS_COLOURS = 0x80
_MOST_BLOCKS = 10_000
_CODE_SIZES = range(2, 9)


@dataclass(frozen=True, slots=True)
class GifStructure:
    frames: int
    first_frame_end: int
    """Bytes from the start of the file to the end of its first frame."""


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height of the screen that frames are drawn on."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def read_structure(data: bytes) -> GifStructure:
    """Raises `ValueError` for a file without a frame, with one that reaches past its screen or none of the known codes,
    or without its trailer."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = _SCREEN_END + _colour_bytes(flags)
    frames = first_frame_end = 0
    for _ in range(_MOST_BLOCKS):
        kind = data[position]
        if kind == _TRAILER:
            if not frames:
                raise ValueError("no frame")
            return GifStructure(frames, first_frame_end)
        if kind == _EXTENSION:
            position = _skip_sub_blocks(data, position + 2)
            continue
        if kind != _IMAGE:
            raise ValueError("an unknown block")
        left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
        if not (frame_width and frame_height and left + frame_width <= width and top + frame_height <= height):
            raise ValueError("a frame past its screen")
        position += 10 + _colour_bytes(flags)
        if data[position] not in _CODE_SIZES:
            raise ValueError("unknown code size")
        position = _skip_sub_blocks(data, position + 1)
        frames += 1
        first_frame_end = first_frame_end or position
    raise ValueError("too many blocks")


def first_frame(data: bytes, structure: GifStructure) -> bytes:
    """The file as if it held that frame alone: what a decoder need not see cannot cost it anything."""
    return data[: structure.first_frame_end] + bytes([_TRAILER])


def _colour_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _HAS_COLOURS else 0


def _skip_sub_blocks(data: bytes, position: int) -> int:
    """Where the block ends whose first length byte is at `position`. Raises `IndexError` at the end of the file."""
    while length := data[position]:
        position += 1 + length
    return position + 1
