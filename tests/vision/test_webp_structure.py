"""WebP chunks."""

from __future__ import annotations

import struct

import pytest

from service.vision import webp_structure
from tests.vision.pictures import encode, exif_with_orientation, picture_rgb


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    """The beginning of lossless pixels."""
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(5)


def vp8x(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def anmf(left: int, top: int, width: int, height: int, *chunks: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    places = [value.to_bytes(3, "little") for value in (left // 2, top // 2, width - 1, height - 1)]
    return b"ANMF", b"".join(places) + bytes(4) + riff(*chunks)[12:]


def test_an_exif_block_with_the_prefix_of_jpeg_is_read() -> None:
    block = exif_with_orientation(6).tobytes()
    assert block.startswith(b"Exif\0\0")
    for exif in (block, block[6:]):
        assert webp_structure.read_structure(riff(vp8x(4, 4), vp8l(4, 4), (b"EXIF", exif))).orientation == 6


def test_the_first_frame_of_an_animation_is_what_counts() -> None:
    frames = [anmf(0, 0, 20, 10, vp8l(20, 10)), anmf(0, 0, 40, 30, (b"VP8L", vp8l(40, 30)[1] + bytes(1000)))]
    data = riff(vp8x(40, 30), (b"ANIM", bytes(6)), *frames)
    assert webp_structure.read_size(data) == (40, 30)
    structure = webp_structure.read_structure(data)
    assert structure.animated
    assert structure.coded_bytes == 10


@pytest.mark.parametrize(
    "chunks",
    [
        (vp8x(40, 30), vp8l(4000, 3000)),
        (vp8x(40, 30), (b"ANIM", bytes(6)), anmf(0, 0, 40, 30, vp8l(4000, 3000))),
        (vp8x(40, 30), (b"ANIM", bytes(6)), anmf(2, 0, 40, 30, vp8l(40, 30))),
        (vp8x(40, 30), vp8l(40, 30), vp8l(40, 30)),
        (vp8x(40, 30),),
    ],
    ids=["still", "frame", "past the canvas", "two", "none"],
)
def test_pixels_of_another_size_than_announced_are_refused(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(ValueError, match="canvas"):
        webp_structure.read_structure(riff(*chunks))


@pytest.mark.parametrize("first", [(b"VP8 ", bytes(10)), (b"VP8L", b"\x00" * 5), (b"VP8X", bytes(9)), (b"ICCP", b"")])
def test_a_file_without_an_image_header_is_refused(first: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="no image header"):
        webp_structure.read_size(riff(first))


def test_a_chunk_past_the_end_is_refused() -> None:
    data = bytearray(encode(picture_rgb(), "WEBP"))
    struct.pack_into("<I", data, 16, len(data))
    with pytest.raises(ValueError, match="past the end"):
        webp_structure.read_structure(bytes(data))


def test_thousands_of_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="too many chunks"):
        webp_structure.read_structure(riff(*[(b"XMP ", b"")] * 10_001))
