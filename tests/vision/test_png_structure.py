"""PNG chunks."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.vision import png_structure
from tests.vision.pictures import (
    decode_with_pillow,
    encode,
    exif_with_orientation,
    picture_rgb,
    png_announcing,
    png_chunk,
)


@pytest.mark.parametrize(
    ("depth", "color", "compression", "filtering", "interlace"),
    [(3, 0, 0, 0, 0), (16, 3, 0, 0, 0), (8, 1, 0, 0, 0), (8, 2, 1, 0, 0), (8, 2, 0, 1, 0), (8, 2, 0, 0, 2)],
)
def test_headers_the_standard_does_not_know_are_refused(
    depth: int, color: int, compression: int, filtering: int, interlace: int
) -> None:
    header = struct.pack(">IIBBBBB", 10, 10, depth, color, compression, filtering, interlace)
    with pytest.raises(ValueError, match="unknown"):
        png_structure.read_frame(png_structure.SIGNATURE + png_chunk(b"IHDR", header))


def test_the_header_comes_first() -> None:
    data = encode(picture_rgb(), "PNG")
    with pytest.raises(ValueError, match="IHDR"):
        png_structure.read_frame(data[:8] + png_chunk(b"tEXt", b"a\0b") + data[8:])


def test_without_pixels_or_end_the_file_is_incomplete() -> None:
    complete = png_announcing(10, 10)
    without_pixels = complete[: complete.index(b"IDAT") - 4] + png_chunk(b"IEND", b"")
    for data in (without_pixels, complete[:-12]):
        with pytest.raises(ValueError, match="ends before"):
            png_structure.read_contents(data)


def test_thousands_of_chunks_are_refused() -> None:
    data = encode(picture_rgb(), "PNG")
    flood = png_chunk(b"tEXt", b"") * 20_001
    with pytest.raises(ValueError, match="too many chunks"):
        png_structure.read_contents(data[:33] + flood + data[33:])


@pytest.mark.parametrize(
    ("depth", "color", "row_bytes", "channels"),
    [(1, 0, 3, 1), (16, 0, 40, 1), (8, 2, 60, 3), (4, 3, 10, 1), (8, 4, 40, 2), (16, 6, 160, 4)],
)
def test_the_header_tells_how_many_bytes_the_pixels_are(depth: int, color: int, row_bytes: int, channels: int) -> None:
    header = struct.pack(">IIBBBBB", 20, 10, depth, color, 0, 0, 1)
    frame = png_structure.read_frame(png_structure.SIGNATURE + png_chunk(b"IHDR", header))
    assert (frame.raw_bytes, frame.channels, frame.deep, frame.interlaced) == (
        10 * (1 + row_bytes),
        channels,
        depth == 16,
        True,
    )


def test_a_decoder_sees_the_pixels_and_their_colours_alone() -> None:
    palette = Image.fromarray(picture_rgb()).convert("P")
    data = encode(palette, "PNG", transparency=3, exif=exif_with_orientation(6), icc_profile=b"p" * 500)
    bomb = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))
    lean = png_structure.only_pixels(data[:33] + bomb + data[33:])
    kinds = [lean[at + 4 : at + 8] for at in _chunk_starts(lean)]
    assert kinds == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    np.testing.assert_array_equal(decode_with_pillow(lean), decode_with_pillow(data))


def _chunk_starts(data: bytes) -> list[int]:
    starts = [8]
    while starts[-1] < len(data):
        (length,) = struct.unpack_from(">I", data, starts[-1])
        starts.append(starts[-1] + 12 + length)
    return starts[:-1]
