"""The first directory of a TIFF file (TIFF 6.0). Only what photographs use is let through: a decoder of TIFF is a
family of decoders, and what they are told here bounds what they do."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from service.vision.exif_orientation import UPRIGHT

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENTRY_BYTES = 12
_MOST_ENTRIES = 256
_MOST_VALUES = 65_535
"""Of one tag: a strip for each row."""
_TYPES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}
"""Type -> struct code and bytes, of whole numbers."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 274, 277, 278, 279
_TILE_WIDTH, _SAMPLE_FORMAT = 322, 339
_PLANAR = 284
_KNOWN = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES}
    | {_ROWS_PER_STRIP, _STRIP_BYTES, _TILE_WIDTH, _SAMPLE_FORMAT, _PLANAR}
)

_DEFLATE = frozenset({8, 32946})
_COMPRESSIONS = frozenset({1, 5, 32773}) | _DEFLATE
"""None, LZW, PackBits, deflate. Not JPEG: its scans would be counted by nobody."""
_PHOTOMETRICS = frozenset({0, 1, 2, 3})
"""White is zero, black is zero, RGB, palette."""
_DEPTHS = frozenset({1, 8, 16})
_UNSIGNED = 1
_TOGETHER = 1
_UNCOMPRESSED = 1


@dataclass(frozen=True, slots=True)
class TiffStructure:
    raw_bytes: int
    """Of all pixels, without compression."""
    channels: int
    deep: bool
    """16 bits."""
    deflated: bool
    orientation: int
    """1..8, as in EXIF."""


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height, before any turn. Raises `ValueError` and `struct.error`."""
    tags = _read_tags(data)
    return _one(tags, _WIDTH), _one(tags, _HEIGHT)


def read_structure(data: bytes) -> TiffStructure:
    """Raises `ValueError` and `struct.error` for a directory that is no photograph's, and for pixels that are not all
    in the file."""
    tags = _read_tags(data)
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    samples = _one(tags, _SAMPLES, 1)
    depths = set(tags.get(_BITS, (1,)))
    if len(depths) != 1 or not depths <= _DEPTHS or samples not in (1, 2, 3, 4):
        raise ValueError("an unknown layout of pixels")
    compression = _one(tags, _COMPRESSION, 1)
    if compression not in _COMPRESSIONS or _one(tags, _PHOTOMETRIC) not in _PHOTOMETRICS:
        raise ValueError("an unknown compression or kind of colours")
    if set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED} or _one(tags, _PLANAR, _TOGETHER) != _TOGETHER:
        raise ValueError("samples that are no whole numbers, or apart from each other")
    if _TILE_WIDTH in tags:
        raise ValueError("tiles")
    depth = depths.pop()
    raw_bytes = height * ((width * depth * samples + 7) // 8)
    _check_strips(tags, len(data), raw_bytes, height)
    orientation = _one(tags, _ORIENTATION, UPRIGHT)
    orientation = orientation if 1 <= orientation <= 8 else UPRIGHT
    return TiffStructure(raw_bytes, samples, depth == 16, compression in _DEFLATE, orientation)


def _check_strips(tags: Mapping[int, tuple[int, ...]], length: int, raw_bytes: int, height: int) -> None:
    """Every strip lies in the file, and they are as many as the rows need. Raises `ValueError`."""
    offsets, sizes = tags.get(_STRIP_OFFSETS, ()), tags.get(_STRIP_BYTES, ())
    rows = min(_one(tags, _ROWS_PER_STRIP, height), height)
    if not rows or len(offsets) != len(sizes) or len(offsets) != -(-height // rows):
        raise ValueError("strips that are not as many as the rows need")
    if any(offset + size > length for offset, size in zip(offsets, sizes, strict=True)) or sum(sizes) > length:
        raise ValueError("the file ends before its pixels do, or strips share bytes")
    if _one(tags, _COMPRESSION, 1) == _UNCOMPRESSED and sum(sizes) < raw_bytes:
        raise ValueError("fewer bytes than pixels")


def _read_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Values of the known tags of the first directory."""
    order = _ORDERS.get(data[:4])
    if order is None:
        raise ValueError("a file of more than 4 GB")
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, directory)
    if entries > _MOST_ENTRIES:
        raise ValueError("too many tags")
    tags: dict[int, tuple[int, ...]] = {}
    for index in range(entries):
        position = directory + 2 + index * _ENTRY_BYTES
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, position)
        if tag not in _KNOWN:
            continue
        if tag in tags or kind not in _TYPES or count > _MOST_VALUES:
            raise ValueError("a tag twice, of too many values, or of another type than whole numbers")
        code, size = _TYPES[kind]
        at = position + 8
        if count * size > 4:
            (at,) = struct.unpack_from(f"{order}I", data, at)
        if at + count * size > len(data):
            raise ValueError("values past the end of the file")
        tags[tag] = struct.unpack_from(f"{order}{count}{code}", data, at)
    return tags


def _one(tags: Mapping[int, tuple[int, ...]], tag: int, default: int | None = None) -> int:
    values = tags.get(tag, () if default is None else (default,))
    if not values:
        raise ValueError("a tag is missing")
    return values[0]
