"""The marker segments of a JPEG file (ITU-T T.81, annex B), without decoding its scans."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from service.vision.exif_orientation import UPRIGHT, parse_orientation

_EXIF_SIGNATURE = b"Exif\0\0"

_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman tables, quantisation tables, restart interval."""
_MOST_TABLE_BYTES = 65_536
"""Of a file with its own tables for each of 100 scans some 20 kB."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_MAX_SEGMENTS = 5_000
_MOST_COMPONENTS = 4

# Inside a scan 0xFF is data when 0x00 follows, and a restart marker for 0xD0..0xD7; anything else ends the scan.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegFrame:
    width: int
    height: int
    samples_per_pixel: float
    """Over all components: 1 for grey, 1.5 with colour at half the resolution, 3 without, 4 for CMYK."""
    progressive: bool


@dataclass(frozen=True, slots=True)
class JpegScans:
    count: int
    coded_bytes: int
    """In all of them, with the markers between them."""


def read_frame(data: bytes) -> JpegFrame:
    """The frame header. Raises `ValueError` where there is none before the first scan, and for processes that no
    photograph is coded with: arithmetic, lossless, hierarchical, 12 bits."""
    for marker, position, length in _segments(data):
        if marker in _FRAME_HEADERS:
            return _read_frame(data[position : position + length], marker)
        if marker == _START_OF_SCAN:
            break
    raise ValueError("no frame header before the first scan")


def _read_frame(content: bytes, marker: int) -> JpegFrame:
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
        raise ValueError("an unknown process")
    depth, height, width, components = struct.unpack_from(">BHHB", content)
    factors = [content[7 + 3 * index] for index in range(components)]
    areas = [(factor >> 4) * (factor & 15) for factor in factors]
    if depth != 8 or not 1 <= components <= _MOST_COMPONENTS or not all(areas):
        raise ValueError("an unknown layout of samples")
    # Of one component the factors say nothing: its blocks are coded one by one.
    whole = max(factor >> 4 for factor in factors) * max(factor & 15 for factor in factors)
    samples_per_pixel = 1.0 if components == 1 else sum(areas) / whole
    return JpegFrame(width, height, samples_per_pixel, marker == _PROGRESSIVE)


def read_scans(data: bytes, at_most: int) -> JpegScans:
    """Scans up to the end-of-image marker; stops counting at `at_most` + 1.

    Raises `ValueError` for a file without that marker, without a scan, with a second frame or a flood of tables.
    """
    scans = frames = coded_bytes = table_bytes = scan_start = 0
    for marker, position, length in _segments(data):
        frames += marker in _FRAME_HEADERS
        table_bytes += length if marker in _TABLES else 0
        if frames > 1 or marker == _START_OF_IMAGE or table_bytes > _MOST_TABLE_BYTES:
            raise ValueError("a second image inside the first, or a flood of tables")
        if scan_start:
            coded_bytes += position - scan_start
            scan_start = 0
        if marker == _START_OF_SCAN:
            scans += 1
            scan_start = position + length
        if scans > at_most:
            return JpegScans(scans, coded_bytes)
        if marker == _END_OF_IMAGE:
            if scans == 0:
                raise ValueError("no scan")
            return JpegScans(scans, coded_bytes)
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
