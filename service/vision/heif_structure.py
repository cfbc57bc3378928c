"""The items of a HEIF picture, AVIF or HEIC (ISO/IEC 23008-12): how large it is, and how much decoding it means.

The size that the container announces is held against the one in the code of every part that would be decoded, because
decoders go by the latter. One still picture, whole or of tiles, with or without a plane of alpha, is let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.vision import av1_structure, hevc_structure
from service.vision.iso_boxes import Box, BoxReader, children, walk_boxes

_MOST_ITEMS = 1_024
_MOST_EXTENTS = 1_024
"""Of all items: how many pieces of the file they are made of."""
_MOST_REFERENCES = 4_096
_MOST_PROPERTIES = 32
"""Of one item."""
_GRID = b"grid"
_CODECS = {b"av01": b"av1C", b"hvc1": b"hvcC"}
"""Item type -> its property with the decoder's configuration."""
_HEVC_PADDING = 64
"""Pixels by which a coded side may be larger: blocks are coded whole."""
_ORIENTATIONS: Mapping[tuple[int, int | None], int] = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip
"""Quarter turns anticlockwise, then mirrored (0: top to bottom, 1: left to right) -> orientation as in EXIF."""


@dataclass(frozen=True, slots=True)
class HeifStructure:
    orientation: int
    """1..8, as in EXIF."""
    cropped: bool
    """Whether what is shown is a part of what is coded."""
    coded_pixels: int
    """Of all parts that are decoded."""
    coded_bytes: int


@dataclass(slots=True)
class _Items:
    """What the file says of its items, by their id."""

    kinds: dict[int, bytes] = field(default_factory=dict)
    codes: dict[int, bytes] = field(default_factory=dict)
    properties: dict[int, list[Box]] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)
    auxiliary: dict[int, list[int]] = field(default_factory=dict)
    """Of a picture, the items that go with it."""


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height of what is shown, before any turn. Raises as `read_structure`."""
    items, primary = _read_items(data)
    return _crop(data, items, primary) or _announced_size(data, items, primary)


def read_structure(data: bytes) -> HeifStructure:
    """Raises `ValueError` and `IndexError` for a file of another kind, and for one that ends early."""
    items, primary = _read_items(data)
    alpha = [item for item in items.auxiliary.get(primary, []) if _is_alpha(data, items, item)]
    if len(alpha) > 1:
        raise ValueError("several planes of alpha")
    parts = [part for item in (primary, *alpha) for part in _decoded_parts(data, items, item)]
    sizes = [_coded_size(data, items, part) for part in parts]
    return HeifStructure(
        _orientation(data, items, primary),
        cropped=_crop(data, items, primary) is not None,
        coded_pixels=sum(width * height for width, height in sizes),
        coded_bytes=sum(len(items.codes[part]) for part in parts),
    )


def _read_items(data: bytes) -> tuple[_Items, int]:
    """And which of them is the picture."""
    top: dict[bytes, Box] = {}
    for box in walk_boxes(data, 0, len(data)):
        top.setdefault(box.kind, box)
    if b"moov" in top:
        raise ValueError("a sequence")
    meta = children(data, top[b"meta"], full=True) if b"meta" in top else {}
    if not meta.keys() >= {b"pitm", b"iinf", b"iloc", b"iprp"}:
        raise ValueError("no picture")
    items = _Items()
    _read_kinds(data, meta[b"iinf"], items)
    _read_codes(data, meta[b"iloc"], meta.get(b"idat"), items)
    _read_properties(data, meta[b"iprp"], items)
    if b"iref" in meta:
        _read_references(data, meta[b"iref"], items)
    pitm = BoxReader(data, meta[b"pitm"]).full_header()
    primary = pitm.item(wide=pitm.version > 0)
    if primary not in items.kinds or primary not in items.codes:
        raise ValueError("no picture")
    return items, primary


def _decoded_parts(data: bytes, items: _Items, item: int) -> list[int]:
    """The picture itself, or the tiles that it is made of."""
    if items.kinds.get(item) != _GRID:
        return [item]
    grid = items.codes.get(item, b"")
    rows, columns, size = grid[2] + 1, grid[3] + 1, 4 if grid[1] & 1 else 2
    announced = int.from_bytes(grid[4 : 4 + size], "big"), int.from_bytes(grid[4 + size : 4 + 2 * size], "big")
    tiles = items.parts.get(item, [])
    sizes = {_announced_size(data, items, tile) for tile in tiles}
    # A tile that is shown twice would be decoded twice, for no further bytes of the file.
    distinct = len(tiles) == len(set(tiles)) == rows * columns
    if announced != _announced_size(data, items, item) or not distinct or len(sizes) != 1:
        raise ValueError("a grid that does not fit its tiles")
    for side, count, tile_side in zip(announced, (columns, rows), sizes.pop(), strict=True):
        if not tile_side * (count - 1) < side <= tile_side * count:
            raise ValueError("tiles beside the picture, or too few")
    return tiles


def _coded_size(data: bytes, items: _Items, item: int) -> tuple[int, int]:
    """By the code itself. Raises `ValueError` where it is another one than the container announces."""
    announced = _announced_size(data, items, item)
    kind = items.kinds.get(item, b"")
    configuration = _property(items, item, _CODECS[kind]) if kind in _CODECS else None
    if configuration is None or item not in items.codes:
        raise ValueError("an unknown codec")
    code = items.codes[item]
    if kind == b"av01":
        coded, padding = av1_structure.read_size(code), 0
    else:
        coded = hevc_structure.read_size(data[configuration.start : configuration.end], code)
        padding = _HEVC_PADDING
    if any(not side <= in_code <= side + padding for side, in_code in zip(announced, coded, strict=True)):
        raise ValueError("another size in the code")
    return coded


def _announced_size(data: bytes, items: _Items, item: int) -> tuple[int, int]:
    box = _property(items, item, b"ispe")
    if box is None:
        raise ValueError("no size")
    reader = BoxReader(data, box).full_header()
    return reader.number(4), reader.number(4)


def _crop(data: bytes, items: _Items, item: int) -> tuple[int, int] | None:
    """Width and height of the clean aperture; None: all of the picture is shown. Raises `ValueError` for one that is
    larger than the picture, or of parts of pixels."""
    box = _property(items, item, b"clap")
    if box is None:
        return None
    reader = BoxReader(data, box)
    width, width_parts, height, height_parts = (reader.number(4) for _ in range(4))
    full_width, full_height = _announced_size(data, items, item)
    if (width_parts, height_parts) != (1, 1) or width > full_width or height > full_height:
        raise ValueError("a crop that is none")
    return width, height


def _orientation(data: bytes, items: _Items, item: int) -> int:
    turn, mirror = _property(items, item, b"irot"), _property(items, item, b"imir")
    turns = 0 if turn is None else BoxReader(data, turn).number(1) & 3
    return _ORIENTATIONS[turns, None if mirror is None else BoxReader(data, mirror).number(1) & 1]


def _is_alpha(data: bytes, items: _Items, item: int) -> bool:
    box = _property(items, item, b"auxC")
    return box is not None and b"alpha" in data[box.start : box.end]


def _property(items: _Items, item: int, kind: bytes) -> Box | None:
    found = [box for box in items.properties.get(item, []) if box.kind == kind]
    if len(found) > 1:
        raise ValueError("a property twice")
    return found[0] if found else None


def _read_kinds(data: bytes, box: Box, items: _Items) -> None:
    reader = BoxReader(data, box).full_header()
    _checked(reader.number(4 if reader.version else 2))
    for entry in reader.boxes():
        info = BoxReader(data, entry).full_header()
        if info.version not in (2, 3):
            raise ValueError("an unknown kind of item")
        item = info.item(wide=info.version == 3)
        info.take(2)  # protection
        items.kinds[item] = info.take(4)


def _read_codes(data: bytes, box: Box, idat: Box | None, items: _Items) -> None:
    """Where items lie: in the file, or in the box `idat`."""
    reader = BoxReader(data, box).full_header()
    sizes = reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    extents = 0
    for _ in range(_checked(reader.item(wide=reader.version > 1))):
        item = reader.item(wide=reader.version > 1)
        inside = bool(reader.number(2) & 15) if reader.version else False
        reader.take(2)  # which file
        place = idat if inside else Box(b"", 0, len(data))
        base = reader.number(base_size)
        parts = []
        count = reader.number(2)
        extents += count
        if extents > _MOST_EXTENTS:
            raise ValueError("too many pieces")
        for _ in range(count):
            reader.take(index_size if reader.version else 0)
            offset, length = reader.number(offset_size), reader.number(length_size)
            if place is None or place.start + base + offset + length > place.end:
                raise ValueError("an item past the end of the file")
            start = place.start + base + offset
            parts.append(data[start : start + length])
        if item in items.codes:
            raise ValueError("an item twice")
        items.codes[item] = b"".join(parts)
    if sum(map(len, items.codes.values())) > len(data):
        raise ValueError("items that share bytes")


def _read_properties(data: bytes, box: Box, items: _Items) -> None:
    found = children(data, box, full=False)
    if not found.keys() >= {b"ipco", b"ipma"}:
        raise ValueError("no properties")
    properties = list(walk_boxes(data, found[b"ipco"].start, found[b"ipco"].end))
    reader = BoxReader(data, found[b"ipma"]).full_header()
    size = 2 if reader.flags & 1 else 1
    for _ in range(_checked(reader.number(4))):
        item = reader.item(wide=reader.version > 0)
        count = reader.number(1)
        if item in items.properties or count > _MOST_PROPERTIES:
            raise ValueError("an item twice, or with too many properties")
        indices = [reader.number(size) & (1 << 8 * size - 1) - 1 for _ in range(count)]
        items.properties[item] = [properties[index - 1] for index in indices if index]


def _read_references(data: bytes, box: Box, items: _Items) -> None:
    reader = BoxReader(data, box).full_header()
    wide = reader.version > 0
    references = 0
    for entry in reader.boxes():
        reference = BoxReader(data, entry)
        item, count = reference.item(wide=wide), reference.number(2)
        references += count
        if references > _MOST_REFERENCES:
            raise ValueError("too many references")
        others = [reference.item(wide=wide) for _ in range(count)]
        if entry.kind == b"dimg":
            items.parts.setdefault(item, []).extend(others)
        elif entry.kind == b"auxl":
            for other in others:
                items.auxiliary.setdefault(other, []).append(item)


def _checked(count: int) -> int:
    if count > _MOST_ITEMS:
        raise ValueError("too many items")
    return count
