from __future__ import annotations

import struct

import pytest

from service.vision.deflate_density import count_patterned_bytes
from service.vision.png_structure import read_contents
from tests.hostile.photographs import encode, encode_opencv, noise_rgb, photograph_rgb
from tests.hostile.pngs import block_bomb


@pytest.mark.parametrize("data", [encode(photograph_rgb(500, 400), "PNG"), encode_opencv(noise_rgb(300, 200), ".png")])
def test_coded_pixels_have_no_pattern(data: bytes) -> None:
    coded = read_contents(data).coded
    assert len(coded) > 50_000
    assert count_patterned_bytes(coded) <= len(coded) % 16_384


def test_headers_of_blocks_have_one() -> None:
    coded = read_contents(block_bomb(200, 100)).coded
    assert len(coded) > 200_000
    assert count_patterned_bytes(coded) > 0.99 * len(coded)


def test_a_bomb_among_pixels_is_found() -> None:
    coded = read_contents(encode(photograph_rgb(500, 400), "PNG")).coded
    bomb = read_contents(block_bomb(200, 100)).coded
    assert count_patterned_bytes(coded + bomb + coded) >= len(bomb) - 2 * 16_384


def test_nothing_is_nothing() -> None:
    assert count_patterned_bytes(b"") == 0
    assert count_patterned_bytes(struct.pack("<I", 1)) == 4
