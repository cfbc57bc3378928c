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


def test_an_exif_block_with_the_prefix_of_jpeg_is_read() -> None:
    block = exif_with_orientation(6).tobytes()
    assert block.startswith(b"Exif\0\0")
    assert webp_structure.read_orientation(riff((b"VP8X", bytes(10)), (b"EXIF", block))) == 6
    assert webp_structure.read_orientation(riff((b"VP8X", bytes(10)), (b"EXIF", block[6:]))) == 6


@pytest.mark.parametrize("first", [(b"VP8 ", bytes(10)), (b"VP8L", b"\x00" * 5), (b"VP8X", bytes(9)), (b"ICCP", b"")])
def test_a_file_without_an_image_header_is_refused(first: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="no image header"):
        webp_structure.read_size(riff(first))


def test_a_chunk_past_the_end_is_refused() -> None:
    data = bytearray(encode(picture_rgb(), "WEBP"))
    struct.pack_into("<I", data, 16, len(data))
    with pytest.raises(ValueError, match="past the end"):
        webp_structure.read_orientation(bytes(data))


def test_thousands_of_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="too many chunks"):
        webp_structure.read_orientation(riff(*[(b"XMP ", b"")] * 10_001))
