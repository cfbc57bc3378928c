"""AVIF and HEIC files of a few bytes, whose container and code say what one likes (ISO/IEC 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tests.hostile.bits import BitWriter

_KINDS = {"avif": (b"av01", b"av1C"), "heic": (b"hvc1", b"hvcC")}
_GRID = 100
"""The id of the item that is made of others."""


def heif_announcing(brand: str, width: int, height: int, *, in_code: tuple[int, int] | None = None) -> bytes:
    """`brand`: `avif` or `heic`. `in_code`: the size that the code itself has, where it is another one."""
    in_code = in_code or (width, height)
    return heif(brand, [(width, height)], [coded_picture(brand, *in_code)], in_configuration=in_code)


def grid_bomb(width: int, height: int, columns: int, rows: int) -> bytes:
    """An AVIF picture of this size that says it is made of so many tiles as large as itself."""
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    codes = [coded_picture("avif", width, height)] * (columns * rows)
    return heif("avif", [(width, height)] * len(codes), codes, grid=grid, grid_size=(width, height))


def repeated_tile(side: int, columns: int, rows: int, units: int) -> bytes:
    """An AVIF picture all of whose tiles are one item, with so many units of nothing in its code."""
    width, height = side * columns, side * rows
    code = coded_picture("avif", side, side) + _unit(15, b"") * units
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    tiles = _references(b"dimg", _GRID, [1] * (columns * rows))
    return heif("avif", [(side, side)], [code], grid=grid, grid_size=(width, height), references=tiles)


def alpha_bomb(times: int) -> bytes:
    """An AVIF picture that says so many times that it is its own plane of alpha."""
    references = b"".join(_references(b"auxl", 1, [1] * min(1_000, times - at)) for at in range(0, times, 1_000))
    alpha = {b"auxC": b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"}
    return heif("avif", [(8, 8)], [coded_picture("avif", 8, 8)], references=references, properties=alpha)


def extent_bomb(items: int, extents: int, size: int) -> bytes:
    """An AVIF file of this size whose items lie in so many places each, which are told in no bytes at all."""
    places = b"".join(struct.pack(">HHIH", item, 0, 1, extents) for item in range(1, 1 + items))
    meta = full_box(
        b"meta",
        full_box(b"pitm", struct.pack(">H", 1))
        + full_box(b"iinf", struct.pack(">H", 0))
        + full_box(b"iloc", struct.pack(">BBH", 0, 0x40, items) + places)
        + box(b"iprp", box(b"ipco", b"") + full_box(b"ipma", bytes(4))),
    )
    return box(b"ftyp", b"avif" + bytes(4) + b"mif1avif") + meta + box(b"free", bytes(size))


def coded_picture(brand: str, width: int, height: int, *, frames: int = 1) -> bytes:
    """What a decoder reads the size from, and nothing to decode."""
    if brand == "heic":
        return struct.pack(">IBBBB", 4, 19 << 1, 1, 0x80, 0) * frames
    sides = [max(1, (side - 1).bit_length()) for side in (width, height)]
    header = BitWriter(lowest_first=False).number(0, 3).number(1, 1).number(1, 1).number(0, 5)
    header.number(sides[0] - 1, 4).number(sides[1] - 1, 4)
    content = header.number(width - 1, sides[0]).number(height - 1, sides[1]).to_bytes()
    return _unit(1, content) + _unit(6, b"\x10\x20\x30") * frames


def heif(
    brand: str,
    sizes: Sequence[tuple[int, int]],
    codes: Sequence[bytes],
    *,
    grid: bytes = b"",
    grid_size: tuple[int, int] = (0, 0),
    properties: Mapping[bytes, bytes] | None = None,
    in_configuration: tuple[int, int] | None = None,
    references: bytes = b"",
) -> bytes:
    """One item for each code, announced with its size; with `grid` they are its tiles, else the first is the picture.

    `properties`: of the picture, by type, after the others. `in_configuration`: the size that HEVC's parameters say.
    `references`: instead of those to the tiles.
    """
    kind, configuration_kind = _KINDS[brand]
    items = {index + 1: (kind, size, code) for index, (size, code) in enumerate(zip(sizes, codes, strict=True))}
    primary = 1
    if grid:
        items[_GRID], primary = (b"grid", grid_size, grid), _GRID
    shared = [box(configuration_kind, _configuration(brand, *(in_configuration or sizes[0])))]
    shared += [box(name, content) for name, content in (properties or {}).items()]
    announced = [full_box(b"ispe", struct.pack(">II", *size)) for _, size, _ in items.values()]
    own = range(2, 1 + len(shared))
    associations = b"".join(
        struct.pack(">HB", item, 2 + len(own) * (item == primary))
        + bytes([1, len(shared) + 1 + place, *(own if item == primary else ())])
        for place, item in enumerate(items)
    )
    infos = b"".join(full_box(b"infe", struct.pack(">HH4sB", item, 0, items[item][0], 0), version=2) for item in items)
    if grid and not references:
        references = _references(b"dimg", _GRID, range(1, 1 + len(codes)))
    head = box(b"ftyp", brand.encode() + bytes(4) + b"mif1" + brand.encode())

    def meta(start: int) -> bytes:
        places, at = b"", start
        for item, (_, _, code) in items.items():
            places += struct.pack(">HHHII", item, 0, 1, at, len(code))
            at += len(code)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full_box(b"pitm", struct.pack(">H", primary))
            + full_box(b"iinf", struct.pack(">H", len(items)) + infos)
            + full_box(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)) + places)
            + (full_box(b"iref", references) if references else b"")
            + box(
                b"iprp",
                box(b"ipco", b"".join(shared + announced))
                + full_box(b"ipma", struct.pack(">I", len(items)) + associations),
            ),
        )

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", b"".join(code for _, _, code in items.values()))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def full_box(kind: bytes, content: bytes, *, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24) + content)


def _references(kind: bytes, item: int, others: Sequence[int]) -> bytes:
    return box(kind, struct.pack(f">HH{len(others)}H", item, len(others), *others))


def _unit(kind: int, content: bytes) -> bytes:
    """An open bitstream unit of less than 128 bytes."""
    return bytes([kind << 3 | 2, len(content)]) + content


def _configuration(brand: str, width: int, height: int) -> bytes:
    if brand == "avif":
        return b"\x81\x00\x0c\x00"
    writer = BitWriter(lowest_first=False).number(0, 4).number(0, 3).number(1, 1).number(0xFFFF, 96)
    writer.exponential(0).exponential(1).exponential(width).exponential(height)
    parameters = bytes([33 << 1, 1]) + writer.to_bytes()
    array = bytes([33]) + struct.pack(">HH", 1, len(parameters)) + parameters
    return bytes(21) + b"\x03\x01" + array
