"""The orientation tag in a TIFF block."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vision.exif_orientation import UPRIGHT, parse_orientation


def tiff(order: str, entries: list[tuple[int, int, int, int]]) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack(f"{order}HHIHH", tag, kind, count, value, 0)
    return start + struct.pack(f"{order}I", 8) + directory


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_byte_orders(order: str, orientation: int) -> None:
    block = tiff(order, [(0x010F, 2, 4, 0), (0x0112, 3, 1, orientation)])
    assert parse_orientation(block) == orientation


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        tiff("<", []),
        tiff("<", [(0x0112, 3, 1, 0)]),
        tiff("<", [(0x0112, 3, 1, 9)]),
        tiff("<", [(0x0112, 4, 1, 6)]),
        tiff("<", [(0x0112, 3, 2, 6)]),
        tiff("<", [(0x0112, 3, 1, 6)])[:-6],
        b"II*\0\xff\xff\xff\xff",
        b"JUNK" + tiff("<", [(0x0112, 3, 1, 6)])[4:],
    ],
)
def test_what_makes_no_sense_is_upright(block: bytes) -> None:
    assert parse_orientation(block) == UPRIGHT


@given(st.binary(max_size=100))
def test_any_bytes_give_an_orientation(rest: bytes) -> None:
    assert 1 <= parse_orientation(b"MM\0*" + rest) <= 8
