"""Bitmap headers."""

from __future__ import annotations

import struct

import pytest

from service.vision import bmp_structure
from tests.vision.pictures import bmp_announcing, encode, picture_rgb


def test_a_topmost_first_row_is_a_negative_height() -> None:
    assert bmp_structure.read_size(bmp_announcing(20, -10)) == (20, 10)


def test_the_old_core_header_is_read() -> None:
    data = b"BM" + struct.pack("<IHHI", 26, 0, 0, 26) + struct.pack("<IHHHH", 12, 20, 10, 1, 24)
    assert bmp_structure.read_size(data) == (20, 10)


def test_every_byte_of_the_pixels_must_be_there() -> None:
    data = encode(picture_rgb(33, 7), "BMP")
    bmp_structure.check_complete(data)
    with pytest.raises(ValueError, match="shorter"):
        bmp_structure.check_complete(data[:-1])


@pytest.mark.parametrize(
    ("at", "value"), [(30, 1), (28, 7), (14, 5)], ids=["run lengths", "7 bits", "header of 5 bytes"]
)
def test_other_kinds_are_refused(at: int, value: int) -> None:
    data = bytearray(encode(picture_rgb(), "BMP"))
    data[at] = value
    with pytest.raises(ValueError, match=r"compressed|unknown"):
        bmp_structure.check_complete(bytes(data))
