"""Marker segments, and what hides between them."""

from __future__ import annotations

import pytest

from service.vision import jpeg_structure
from tests.vision.pictures import encode, jpeg_announcing, picture_rgb


def test_markers_inside_segments_are_no_scans() -> None:
    hidden = b"\xff\xe5" + (2 + 400).to_bytes(2, "big") + b"\xff\xda" * 200
    data = jpeg_announcing(10, 10, scans=2)
    assert jpeg_structure.count_scans(data[:2] + hidden + data[2:], 100) == 2


def test_stuffed_bytes_restart_markers_and_fill_bytes_do_not_end_a_scan() -> None:
    data = jpeg_announcing(10, 10, scans=1)
    coded = b"\xff\x00\xff\xd0\x11\xff\xd7\x22\xff\xff\x00"
    data = data.removesuffix(b"\xff\xd9") + coded + b"\xff\xff\xff\xd9"
    assert jpeg_structure.count_scans(data, 100) == 1


def test_counting_stops_just_past_the_limit() -> None:
    assert jpeg_structure.count_scans(jpeg_announcing(10, 10, scans=4_000), 7) == 8


def test_a_thumbnail_does_not_give_the_size() -> None:
    thumbnail = encode(picture_rgb(20, 10), "JPEG")
    segment = b"\xff\xe2" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    data = encode(picture_rgb(48, 32), "JPEG")
    assert jpeg_structure.read_size(data[:2] + segment + data[2:]) == (48, 32)


def test_bytes_between_segments_are_skipped_as_decoders_do() -> None:
    data = jpeg_announcing(48, 32)
    assert jpeg_structure.read_size(data[:2] + b"\x00\x01\xff\x00" + data[2:]) == (48, 32)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xd8\xff\xd9",
        jpeg_announcing(10, 10).removesuffix(b"\xff\xd9"),
        jpeg_announcing(10, 10)[:-2] + jpeg_announcing(20, 20)[2:],
        b"\xff\xd8" + b"\xff\xe0\x00\x01" + b"\xff\xd9",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 6_000 + jpeg_announcing(10, 10)[2:],
    ],
    ids=["no scan", "two starts", "no end", "two frames", "length below two", "thousands of segments"],
)
def test_broken_structures_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jpeg_structure.count_scans(data, 100)


def test_a_scan_before_the_frame_has_no_size() -> None:
    with pytest.raises(ValueError, match="no frame header"):
        jpeg_structure.read_size(b"\xff\xd8\xff\xda\x00\x02\xff\xd9")
