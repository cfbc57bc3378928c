"""The RIFF chunks of a WebP file (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from service.vision.exif_orientation import UPRIGHT, parse_orientation

_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F
_EXIF_SIGNATURE = b"Exif\0\0"
_MAX_CHUNKS = 10_000


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height: of the canvas (VP8X), or of the only frame. Raises `ValueError`."""
    kind, position, length = next(_chunks(data), (b"", 0, 0))
    if kind == b"VP8X" and length >= 10:
        width = int.from_bytes(data[position + 4 : position + 7], "little") + 1
        height = int.from_bytes(data[position + 7 : position + 10], "little") + 1
        return width, height
    if kind == b"VP8 " and data[position + 3 : position + 6] == _VP8_START_CODE:
        width, height = struct.unpack_from("<HH", data, position + 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[position] == _VP8L_SIGNATURE:
        (bits,) = struct.unpack_from("<I", data, position + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise ValueError("the first chunk holds no image header")


def read_orientation(data: bytes) -> int:
    """From the EXIF chunk, 1..8; 1 without one. Raises `ValueError` for a file that ends early."""
    orientation = UPRIGHT
    for kind, position, length in _chunks(data):
        if kind == b"EXIF":
            block = data[position : position + length]
            # Some writers keep the prefix that only JPEG needs.
            orientation = parse_orientation(block.removeprefix(_EXIF_SIGNATURE))
    return orientation


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, position and length of the content of each chunk. Raises `ValueError` where one is cut off."""
    (riff_length,) = struct.unpack_from("<I", data, 4)
    end = 8 + riff_length
    if end > len(data):
        raise ValueError("the file ends early")
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise ValueError("a chunk reaches past the end")
        yield kind, position + 8, length
        position += 8 + length + length % 2
    raise ValueError("too many chunks")
