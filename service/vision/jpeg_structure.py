"""The marker segments of a JPEG file (ITU-T T.81, annex B), without decoding its scans."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from service.vision.exif_orientation import UPRIGHT, parse_orientation

SIGNATURE = b"\xff\xd8\xff"
_EXIF_SIGNATURE = b"Exif\0\0"

_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_MAX_SEGMENTS = 5_000

# Inside a scan 0xFF is data when 0x00 follows, and a restart marker for 0xD0..0xD7; anything else ends the scan.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height from the frame header. Raises `ValueError` where there is none before the first scan."""
    for marker, position, _ in _segments(data):
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, position + 1)
            return width, height
        if marker == _START_OF_SCAN:
            break
    raise ValueError("no frame header before the first scan")


def count_scans(data: bytes, at_most: int) -> int:
    """Scans up to the end-of-image marker; stops counting at `at_most` + 1.

    Raises `ValueError` for a file without that marker, without a scan, or with a second frame.
    """
    scans = frames = 0
    for marker, _, _ in _segments(data):
        frames += marker in _FRAME_HEADERS
        scans += marker == _START_OF_SCAN
        if frames > 1 or marker == _START_OF_IMAGE:
            raise ValueError("a second image inside the first")
        if scans > at_most:
            return scans
        if marker == _END_OF_IMAGE:
            if scans == 0:
                raise ValueError("no scan")
            return scans
    raise ValueError("the file ends before its end-of-image marker")


def read_orientation(data: bytes) -> int:
    """From the first EXIF segment, 1..8; 1 without one."""
    for marker, position, length in _segments(data):
        if marker == _APP1 and data.startswith(_EXIF_SIGNATURE, position):
            return parse_orientation(data[position + len(_EXIF_SIGNATURE) : position + length])
        if marker == _START_OF_SCAN:
            break
    return UPRIGHT


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, position and length of the content of each segment after the signature, up to end-of-image.

    Bytes between segments that are no marker are skipped, as decoders do.
    """
    position = 2
    pattern = _NEXT_MARKER
    for _ in range(_MAX_SEGMENTS):
        found = pattern.search(data, position)
        if found is None:
            return
        marker = data[found.start() + 1]
        position = found.end()
        pattern = _NEXT_MARKER
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE):
            yield marker, position, 0
            if marker == _END_OF_IMAGE:
                return
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise ValueError("a segment reaches past the end of the file")
        yield marker, position + 2, length - 2
        position += length
        if marker == _START_OF_SCAN:
            pattern = _END_OF_SCAN
    raise ValueError("too many segments")
