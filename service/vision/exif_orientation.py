"""The EXIF orientation tag (CIPA DC-008, tag 0x0112) of a TIFF block, as JPEG, PNG and WebP carry it."""

from __future__ import annotations

import struct

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SHORT = 3
_ENTRY_BYTES = 12


def parse_orientation(tiff: bytes) -> int:
    """1..8 from the first directory of the block; 1 where it is broken, as every viewer does."""
    try:
        return _parse(tiff)
    except struct.error:
        return UPRIGHT


def _parse(tiff: bytes) -> int:
    if tiff[:4] == b"II*\0":
        order = "<"
    elif tiff[:4] == b"MM\0*":
        order = ">"
    else:
        return UPRIGHT
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for index in range(entries):
        position = directory + 2 + index * _ENTRY_BYTES
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, position)
        if tag == _ORIENTATION_TAG:
            return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
