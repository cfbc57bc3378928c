"""The blocks of a GIF file."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from service.vision import gif_structure
from tests.hostile.simple_files import gif_announcing
from tests.vision.pictures import decode_with_pillow, encode, picture_rgb


def animation() -> bytes:
    frames = [Image.fromarray(picture_rgb()), Image.fromarray(255 - picture_rgb()), Image.fromarray(picture_rgb())]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"c" * 300)


def test_frames_are_counted_and_the_first_one_stands_alone() -> None:
    data = animation()
    structure = gif_structure.read_structure(data)
    assert gif_structure.read_size(data) == (48, 32)
    assert structure.frames == 3
    first = gif_structure.first_frame(data, structure)
    assert gif_structure.read_structure(first).frames == 1
    np.testing.assert_array_equal(decode_with_pillow(first), decode_with_pillow(data))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(19 + 6, 0x3C, "unknown block"), (19 + 6 + 1, 1, "past its screen"), (19 + 6 + 10, 12, "code size")],
)
def test_broken_frames_are_refused(place: int, value: int, message: str) -> None:
    data = bytearray(gif_announcing(20, 10))
    data[place] = value
    with pytest.raises(ValueError, match=message):
        gif_structure.read_structure(bytes(data))


def test_no_frame_and_thousands_are_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        gif_structure.read_structure(gif_announcing(20, 10, frames=0))
    with pytest.raises(ValueError, match="too many"):
        gif_structure.read_structure(gif_announcing(20, 10, frames=10_001))


def test_a_file_cut_off_anywhere_is_refused() -> None:
    data = animation()
    for length in range(6, len(data), 7):
        with pytest.raises((ValueError, IndexError, struct.error)):
            gif_structure.read_structure(data[:length])
