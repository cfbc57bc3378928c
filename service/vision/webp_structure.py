"""The RIFF chunks of a WebP file (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from service.vision.exif_orientation import UPRIGHT, parse_orientation
from service.vision.vp8l_structure import count_groups

_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F
_EXIF_SIGNATURE = b"Exif\0\0"
_PIXELS = frozenset({b"VP8 ", b"VP8L"})
_FIRST_CHUNK = 12
_FRAME_HEADER_BYTES = 16
_VP8L_HEADER_BYTES = 5
_ALPHA_LOSSLESS = 1
_MAX_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class WebpStructure:
    orientation: int
    """1..8; 1 where nothing is said."""
    lossless: bool
    coded_bytes: int
    """Of the pixels of the first frame."""
    alpha_bytes: int
    """Of a plane of alpha beside lossy ones."""
    code_groups: int
    """Of its lossless part; 0 without one."""
    animated: bool


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height: of the canvas (VP8X), or of the only frame. Raises `ValueError`."""
    kind, position, length = next(_chunks(data, _FIRST_CHUNK, _riff_end(data)), (b"", 0, 0))
    if kind == b"VP8X" and length >= 10:
        return _number(data, position + 4, 3) + 1, _number(data, position + 7, 3) + 1
    return _frame_size(data, kind, position, length)


def read_structure(data: bytes) -> WebpStructure:
    """Raises `ValueError` for a file that ends early, and where its frame has another size than its canvas."""
    chunks = list(_chunks(data, _FIRST_CHUNK, _riff_end(data)))
    frames = [chunk for chunk in chunks if chunk[0] == b"ANMF"]
    width, height = size = read_size(data)
    shown = chunks
    if frames:
        _, position, length = frames[0]
        left, top = 2 * _number(data, position, 3), 2 * _number(data, position + 3, 3)
        size = _number(data, position + 6, 3) + 1, _number(data, position + 9, 3) + 1
        if left + size[0] > width or top + size[1] > height:
            raise ValueError("a frame past its canvas")
        shown = list(_chunks(data, position + _FRAME_HEADER_BYTES, position + length))
    pixels = [chunk for chunk in shown if chunk[0] in _PIXELS]
    if len(pixels) != 1 or _frame_size(data, *pixels[0]) != size:
        raise ValueError("not one image of the size of its canvas")
    alpha_bytes = sum(length for kind, _, length in shown if kind == b"ALPH")
    lossless = [start for chunk in shown if (start := _lossless_start(data, *chunk)) is not None]
    return WebpStructure(
        _read_orientation(data, chunks),
        lossless=pixels[0][0] == b"VP8L",
        coded_bytes=pixels[0][2],
        alpha_bytes=alpha_bytes,
        code_groups=sum(count_groups(data, start, *size) for start in lossless),
        animated=bool(frames),
    )


def _frame_size(data: bytes, kind: bytes, position: int, length: int) -> tuple[int, int]:
    if kind == b"VP8 " and length >= 10 and data[position + 3 : position + 6] == _VP8_START_CODE:
        width, height = struct.unpack_from("<HH", data, position + 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and length >= 5 and data[position] == _VP8L_SIGNATURE:
        (bits,) = struct.unpack_from("<I", data, position + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise ValueError("no image header")


def _lossless_start(data: bytes, kind: bytes, position: int, _length: int) -> int | None:
    """Where the lossless code of a chunk begins, after what is said of it; None without one."""
    if kind == b"VP8L":
        return position + _VP8L_HEADER_BYTES
    is_coded = kind == b"ALPH" and data[position] & 3 == _ALPHA_LOSSLESS
    return position + 1 if is_coded else None


def _read_orientation(data: bytes, chunks: list[tuple[bytes, int, int]]) -> int:
    orientation = UPRIGHT
    for kind, position, length in chunks:
        if kind == b"EXIF":
            block = data[position : position + length]
            # Some writers keep the prefix that only JPEG needs.
            orientation = parse_orientation(block.removeprefix(_EXIF_SIGNATURE))
    return orientation


def _riff_end(data: bytes) -> int:
    (riff_length,) = struct.unpack_from("<I", data, 4)
    if 8 + riff_length > len(data):
        raise ValueError("the file ends early")
    return int(8 + riff_length)


def _chunks(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, position and length of the content of each chunk. Raises `ValueError` where one is cut off."""
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise ValueError("a chunk reaches past the end")
        yield kind, position + 8, length
        position += 8 + length + length % 2
    raise ValueError("too many chunks")


def _number(data: bytes, position: int, size: int) -> int:
    return int.from_bytes(data[position : position + size], "little")
