"""The first directory of a TIFF file."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.vision import tiff_structure
from service.vision.tiff_structure import TiffStructure
from tests.hostile.photographs import deep, encode_opencv
from tests.hostile.simple_files import tiff_announcing
from tests.vision.pictures import encode, exif_with_orientation, picture_rgb


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_orders_of_bytes_are_read(order: str) -> None:
    data = tiff_announcing(300, 200, order=order)
    assert tiff_structure.read_size(data) == (300, 200)
    assert tiff_structure.read_structure(data) == TiffStructure(60_000, 1, False, True, 1)


@pytest.mark.parametrize(
    ("mode", "options", "raw_bytes", "channels", "deflated"),
    [
        ("RGB", {}, 48 * 32 * 3, 3, False),
        ("RGB", {"compression": "tiff_lzw"}, 48 * 32 * 3, 3, False),
        ("RGBA", {"compression": "tiff_adobe_deflate"}, 48 * 32 * 4, 4, True),
        ("L", {"compression": "packbits"}, 48 * 32, 1, False),
        ("P", {}, 48 * 32, 1, False),
        ("1", {}, 48 * 32 // 8, 1, False),
    ],
)
def test_what_encoders_write_is_read(
    mode: str, options: dict[str, object], raw_bytes: int, channels: int, deflated: bool
) -> None:
    data = encode(Image.fromarray(picture_rgb()).convert(mode), "TIFF", exif=exif_with_orientation(6), **options)
    assert tiff_structure.read_structure(data) == TiffStructure(raw_bytes, channels, False, deflated, 6)


def test_16_bits_are_known() -> None:
    structure = tiff_structure.read_structure(encode_opencv(deep(picture_rgb()), ".tiff"))
    assert (structure.deep, structure.raw_bytes) == (True, 48 * 32 * 6)


@pytest.mark.parametrize(
    "tags",
    [
        {259: 7},
        {259: 50_001},
        {262: 6},
        {258: 32},
        {277: 5},
        {284: 2},
        {339: 3},
        {322: 64},
        {278: 0},
        {278: 10},
        {273: 10**6},
        {279: 10**6},
        {259: 1},
    ],
    ids=lambda tags: "-".join(f"{tag}={value}" for tag, value in tags.items()),
)
def test_what_is_no_photograph_is_refused(tags: dict[int, int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        tiff_structure.read_structure(tiff_announcing(300, 200, tags=tags))


def test_tags_twice_and_floods_of_values_are_refused() -> None:
    data = bytearray(tiff_announcing(300, 200))
    first = struct.unpack_from("<I", data, 4)[0] + 2
    flood = bytearray(data)
    struct.pack_into("<I", flood, first + 4, 10**9)
    struct.pack_into("<H", data, first, 257)
    for broken in (data, flood, b"II+\0" + bytes(100), b"II*\0\xff\xff\0\0"):
        with pytest.raises((ValueError, struct.error)):
            tiff_structure.read_structure(bytes(broken))
