"""The headers of a Windows bitmap."""

from __future__ import annotations

import struct

_CORE_HEADER_BYTES = 12
_INFO_HEADER_BYTES = 40
_UNCOMPRESSED = 0
_BIT_FIELDS = 3
_BITS_PER_PIXEL = frozenset({1, 4, 8, 16, 24, 32})


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height. Raises `ValueError` for a header of another kind."""
    width, height, _, _ = _read_info(data)
    return width, height


def check_complete(data: bytes) -> None:
    """Raises `ValueError` where the file is shorter than its pixels. Run-length coded ones are refused: they are
    not used for photographs, and their length does not follow from the header."""
    width, height, bits, compression = _read_info(data)
    if compression not in (_UNCOMPRESSED, _BIT_FIELDS):
        raise ValueError("a compressed bitmap")
    (pixels_at,) = struct.unpack_from("<I", data, 10)
    row_bytes = (width * bits + 31) // 32 * 4
    if pixels_at + row_bytes * height > len(data):
        raise ValueError("the file is shorter than its pixels")


def _read_info(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, bits per pixel, compression."""
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = _UNCOMPRESSED
    elif header_bytes >= _INFO_HEADER_BYTES:
        # A negative height means that the first row is the topmost.
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise ValueError("unknown header")
    if bits not in _BITS_PER_PIXEL:
        raise ValueError("unknown number of bits per pixel")
    return width, abs(height), bits, compression
