"""PNG chunks."""

from __future__ import annotations

import struct

import pytest

from service.vision import png_structure
from tests.vision.pictures import encode, picture_rgb, png_announcing, png_chunk


@pytest.mark.parametrize(
    ("depth", "color", "compression", "filtering", "interlace"),
    [(3, 0, 0, 0, 0), (16, 3, 0, 0, 0), (8, 1, 0, 0, 0), (8, 2, 1, 0, 0), (8, 2, 0, 1, 0), (8, 2, 0, 0, 2)],
)
def test_headers_the_standard_does_not_know_are_refused(
    depth: int, color: int, compression: int, filtering: int, interlace: int
) -> None:
    header = struct.pack(">IIBBBBB", 10, 10, depth, color, compression, filtering, interlace)
    with pytest.raises(ValueError, match="unknown"):
        png_structure.read_size(png_structure.SIGNATURE + png_chunk(b"IHDR", header))


def test_the_header_comes_first() -> None:
    data = encode(picture_rgb(), "PNG")
    with pytest.raises(ValueError, match="IHDR"):
        png_structure.read_size(data[:8] + png_chunk(b"tEXt", b"a\0b") + data[8:])


def test_without_pixels_or_end_the_file_is_incomplete() -> None:
    complete = png_announcing(10, 10)
    without_pixels = complete[: complete.index(b"IDAT") - 4] + png_chunk(b"IEND", b"")
    for data in (without_pixels, complete[:-12]):
        with pytest.raises(ValueError, match="ends before"):
            png_structure.read_orientation(data)


def test_thousands_of_chunks_are_refused() -> None:
    data = encode(picture_rgb(), "PNG")
    flood = png_chunk(b"tEXt", b"") * 20_001
    with pytest.raises(ValueError, match="too many chunks"):
        png_structure.read_orientation(data[:33] + flood + data[33:])
