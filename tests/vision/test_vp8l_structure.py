"""Groups of prefix codes in lossless WebP."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from service.vision.vp8l_structure import count_groups
from tests.hostile.photographs import encode, noise_rgb, photograph_rgb
from tests.hostile.webps import group_bomb

CODE_START = 20 + 5
"""Bytes: headers of the file and the chunk, then signature and size."""


def few_colours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 7, (90, 120), np.uint8)).convert("RGB")


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(photograph_rgb(400, 300)),
        Image.fromarray(noise_rgb(100, 100)),
        few_colours(),
        Image.new("RGB", (64, 64)),
    ],
    ids=["photograph", "noise", "few colours", "flat"],
)
@pytest.mark.parametrize("method", [0, 4, 6])
def test_what_an_encoder_writes_is_walked_through(picture: Image.Image, method: int) -> None:
    data = encode(picture, "WEBP", lossless=True, method=method)
    assert 1 <= count_groups(data, CODE_START, *picture.size) < 100


@pytest.mark.parametrize("side", [4, 64, 256])
def test_a_group_for_every_tile_is_counted(side: int) -> None:
    assert count_groups(group_bomb(side, side), CODE_START, side, side) == (side // 4) ** 2


def test_small_pictures_that_no_encoder_makes_are_refused() -> None:
    with pytest.raises(ValueError, match="tiles smaller"):
        count_groups(group_bomb(800, 800), CODE_START, 800, 800)


def test_code_cut_off_anywhere_before_the_pixels_is_refused() -> None:
    data = group_bomb(64, 64)
    tiles_end = CODE_START + 2 * 16 * 16
    for length in range(CODE_START, tiles_end, 11):
        with pytest.raises((ValueError, IndexError)):
            count_groups(data[:length], CODE_START, 64, 64)
