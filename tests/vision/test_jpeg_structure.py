"""Marker segments, and what hides between them."""

from __future__ import annotations

import pytest
from PIL import Image

from service.vision import jpeg_structure
from service.vision.jpeg_structure import JpegFrame, JpegScans
from tests.vision.pictures import encode, jpeg_announcing, picture_rgb


def test_markers_inside_segments_are_no_scans() -> None:
    hidden = b"\xff\xe5" + (2 + 400).to_bytes(2, "big") + b"\xff\xda" * 200
    data = jpeg_announcing(10, 10, scans=2)
    assert jpeg_structure.read_scans(data[:2] + hidden + data[2:], 100).count == 2


def test_stuffed_bytes_restart_markers_and_fill_bytes_do_not_end_a_scan() -> None:
    data = jpeg_announcing(10, 10, scans=1)
    coded = b"\xff\x00\xff\xd0\x11\xff\xd7\x22\xff\xff\x00"
    data = data.removesuffix(b"\xff\xd9") + coded + b"\xff\xff\xff\xd9"
    assert jpeg_structure.read_scans(data, 100) == JpegScans(1, 4 + len(coded) + 4)


def test_counting_stops_just_past_the_limit() -> None:
    assert jpeg_structure.read_scans(jpeg_announcing(10, 10, scans=4_000), 7).count == 8


def test_a_thumbnail_does_not_give_the_size() -> None:
    thumbnail = encode(picture_rgb(20, 10), "JPEG")
    segment = b"\xff\xe2" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    data = encode(picture_rgb(48, 32), "JPEG")
    frame = jpeg_structure.read_frame(data[:2] + segment + data[2:])
    assert (frame.width, frame.height) == (48, 32)


def test_bytes_between_segments_are_skipped_as_decoders_do() -> None:
    data = jpeg_announcing(48, 32)
    assert jpeg_structure.read_frame(data[:2] + b"\x00\x01\xff\x00" + data[2:]).width == 48


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xd8\xff\xd9",
        jpeg_announcing(10, 10).removesuffix(b"\xff\xd9"),
        jpeg_announcing(10, 10)[:-2] + jpeg_announcing(20, 20)[2:],
        b"\xff\xd8" + b"\xff\xe0\x00\x01" + b"\xff\xd9",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 6_000 + jpeg_announcing(10, 10)[2:],
        b"\xff\xd8" + (b"\xff\xc4\xf0\x02" + bytes(0xF000)) * 2 + jpeg_announcing(10, 10)[2:],
    ],
    ids=["no scan", "two starts", "no end", "two frames", "length below two", "thousands of segments", "tables"],
)
def test_broken_structures_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jpeg_structure.read_scans(data, 100)


def test_a_scan_before_the_frame_has_no_size() -> None:
    with pytest.raises(ValueError, match="no frame header"):
        jpeg_structure.read_frame(b"\xff\xd8\xff\xda\x00\x02\xff\xd9")


@pytest.mark.parametrize(
    ("mode", "options", "samples_per_pixel", "progressive"),
    [
        ("RGB", {"subsampling": 0}, 3.0, False),
        ("RGB", {"subsampling": 1}, 2.0, False),
        ("RGB", {"subsampling": 2, "progressive": True}, 1.5, True),
        ("L", {}, 1.0, False),
        ("CMYK", {}, 4.0, False),
    ],
)
def test_the_frame_tells_how_many_samples_there_are(
    mode: str, options: dict[str, object], samples_per_pixel: float, progressive: bool
) -> None:
    data = encode(Image.fromarray(picture_rgb()).convert(mode), "JPEG", **options)
    assert jpeg_structure.read_frame(data) == JpegFrame(48, 32, samples_per_pixel, progressive)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
def test_processes_of_no_photograph_are_refused(marker: int) -> None:
    data = jpeg_announcing(48, 32).replace(b"\xff\xc2", bytes([0xFF, marker]))
    with pytest.raises(ValueError, match="unknown process"):
        jpeg_structure.read_frame(data)


@pytest.mark.parametrize(("at", "value"), [(0, 12), (5, 0), (5, 5), (7, 0x10)])
def test_unknown_layouts_of_samples_are_refused(at: int, value: int) -> None:
    data = bytearray(jpeg_announcing(48, 32))
    data[data.index(b"\xff\xc2") + 4 + at] = value
    with pytest.raises((ValueError, IndexError)):
        jpeg_structure.read_frame(bytes(data))


def test_the_bytes_of_all_scans_are_counted_and_no_others() -> None:
    data = encode(picture_rgb(), "JPEG", progressive=True, comment=b"x" * 5_000)
    scans = jpeg_structure.read_scans(data, 100)
    assert scans.count == data.count(b"\xff\xda")
    assert 0 < scans.coded_bytes < len(data) - 5_000
