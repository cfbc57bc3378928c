"""The header check: what is let through to the decoders, and under which reason the rest is refused."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision.image_format import ImageFormat
from service.vision.sniffing import sniff_image
from tests.hostile.heifs import grid_bomb, heif_announcing
from tests.hostile.photographs import with_alpha
from tests.vision.pictures import (
    LIMITS,
    bmp_announcing,
    encode,
    exif_with_orientation,
    jpeg_announcing,
    picture_rgb,
    png_announcing,
    webp_announcing,
)


def reason_of(data: bytes) -> RejectionReason:
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(data, LIMITS)
    return caught.value.reason


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_reads_the_stored_size_of_every_format(image_format: str) -> None:
    header = sniff_image(encode(picture_rgb(48, 32), image_format), LIMITS)
    assert (header.format, header.width, header.height) == (ImageFormat(image_format.lower()), 48, 32)
    assert (header.orientation, header.animated, header.scale) == (1, False, 1)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": exif_with_orientation(6)}])
def test_reads_all_three_kinds_of_webp(options: dict[str, object]) -> None:
    header = sniff_image(encode(picture_rgb(49, 31), "WEBP", **options), LIMITS)
    assert (header.width, header.height) == (49, 31)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_reads_the_orientation(image_format: str, orientation: int) -> None:
    data = encode(picture_rgb(), image_format, exif=exif_with_orientation(orientation))
    assert sniff_image(data, LIMITS).orientation == orientation


def test_no_bytes_is_empty() -> None:
    assert reason_of(b"") is RejectionReason.EMPTY


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"GIF88a" + bytes(100),
        b"\0\0\0\x1cftypjxl " + bytes(100),
        b"%PDF-1.7",
        b"<svg/>",
        b"RIFF\x24\0\0\0WAVEfmt ",
        bytes(4096),
    ],
)
def test_other_content_is_an_unsupported_type(data: bytes) -> None:
    assert reason_of(data) is RejectionReason.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GIF89a" + bytes(100), RejectionReason.GIF_NOT_ACCEPTED),
        (b"MM\0*" + bytes(100), RejectionReason.TIFF_NOT_ACCEPTED),
        (b"II+\0" + bytes(100), RejectionReason.TIFF_NOT_ACCEPTED),
        (b"\0\0\0\x1cftypavif" + bytes(100), RejectionReason.AVIF_NOT_ACCEPTED),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic" + bytes(100), RejectionReason.HEIC_NOT_ACCEPTED),
    ],
)
def test_a_format_that_is_not_accepted_is_named(data: bytes, reason: RejectionReason) -> None:
    assert reason_of(data) is reason


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_every_format_can_be_left_out_by_name(image_format: ImageFormat) -> None:
    assert RejectionReason(f"{image_format}_not_accepted")


def test_what_is_listed_alone_is_accepted() -> None:
    only_bmp = dataclasses.replace(LIMITS, formats=frozenset({ImageFormat.BMP}))
    assert sniff_image(encode(picture_rgb(), "BMP"), only_bmp).format is ImageFormat.BMP
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(encode(picture_rgb(), "JPEG"), only_bmp)
    assert caught.value.reason is RejectionReason.JPEG_NOT_ACCEPTED


@pytest.mark.parametrize("announce", [png_announcing, jpeg_announcing, webp_announcing, bmp_announcing])
@pytest.mark.parametrize("size", [(30_000, 30_000), (13_000, 13_000), (1, 8_193), (8_193, 1), (5_001, 5_000)])
def test_a_size_past_the_limits_is_refused_by_the_header_alone(announce, size) -> None:
    assert reason_of(announce(*size)) is RejectionReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("announce", [png_announcing, jpeg_announcing])
@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_a_picture_without_pixels_is_unreadable(announce, size) -> None:
    assert reason_of(announce(*size)) is RejectionReason.UNREADABLE


@pytest.mark.parametrize("announce", [png_announcing, jpeg_announcing])
def test_a_size_at_the_limit_passes(announce) -> None:
    assert sniff_image(announce(5_000, 5_000), LIMITS).width == 5_000


@pytest.mark.parametrize(("scans", "passes"), [(100, True), (101, False), (5_000, False)])
def test_the_number_of_jpeg_scans_is_limited(scans: int, passes: bool) -> None:
    data = jpeg_announcing(100, 100, scans)
    if passes:
        assert sniff_image(data, LIMITS).height == 100
    else:
        assert reason_of(data) is RejectionReason.TOO_MANY_PIXELS


@pytest.mark.parametrize(("scans", "passes"), [(15, True), (16, False)])
def test_scans_times_megapixels_is_limited(scans: int, passes: bool) -> None:
    data = jpeg_announcing(4_000, 4_000, scans)
    if passes:
        assert sniff_image(data, LIMITS).height == 4_000
    else:
        assert reason_of(data) is RejectionReason.TOO_MANY_PIXELS


def test_real_progressive_scans_are_counted() -> None:
    data = encode(picture_rgb(), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert scans > 3
    assert sniff_image(data, dataclasses.replace(LIMITS, max_jpeg_scans=scans)).format is ImageFormat.JPEG
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(data, dataclasses.replace(LIMITS, max_jpeg_scans=scans - 1))
    assert caught.value.reason is RejectionReason.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_a_file_cut_off_anywhere_is_unreadable(image_format: str, options: dict[str, object]) -> None:
    data = encode(picture_rgb(), image_format, **options)
    for length in range(16, len(data), max(1, len(data) // 100)):
        assert reason_of(data[:length]) is RejectionReason.UNREADABLE, length


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_bytes_after_the_image_are_ignored(image_format: str) -> None:
    data = encode(picture_rgb(), image_format)
    assert sniff_image(data + b"\xff\xda<?php", LIMITS) == sniff_image(data, LIMITS)


_SEEDS = [
    encode(picture_rgb(), "JPEG", progressive=True, exif=exif_with_orientation(6)),
    encode(picture_rgb(), "PNG", exif=exif_with_orientation(3)),
    encode(picture_rgb(), "WEBP", exif=exif_with_orientation(8)),
    encode(picture_rgb(), "WEBP", lossless=True),
    encode(picture_rgb(), "BMP"),
    encode(picture_rgb(), "GIF"),
    encode(picture_rgb(), "TIFF", exif=exif_with_orientation(5)),
    encode(with_alpha(picture_rgb()), "AVIF"),
    heif_announcing("heic", 64, 48),
    grid_bomb(64, 48, 2, 2),
]
EVERY_FORMAT = dataclasses.replace(LIMITS, formats=frozenset(ImageFormat))


@given(
    seed=st.sampled_from(_SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 10_000),
)
@settings(max_examples=500, deadline=None)
def test_damaged_files_are_either_read_or_refused(seed: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed)
    for position, value in edits:
        data[position % len(data)] = value
    assert_read_or_refused(bytes(data[: len(data) - cut % len(data)]))


@given(
    signature=st.sampled_from(
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x40\0\0\0WEBP",
            b"BM",
            b"GIF89a",
            b"II*\0",
            b"\0\0\0\x10ftypavif\0\0\0\0",
            b"\0\0\0\x10ftypheic\0\0\0\0",
            b"",
        ]
    ),
    rest=st.binary(max_size=200),
)
@settings(max_examples=500, deadline=None)
def test_random_bytes_are_either_read_or_refused(signature: bytes, rest: bytes) -> None:
    assert_read_or_refused(signature + rest)


def assert_read_or_refused(data: bytes) -> None:
    try:
        header = sniff_image(data, EVERY_FORMAT)
    except SampleRejectedError:
        return
    assert 0 < header.width * header.height <= LIMITS.max_pixels
    assert 1 <= header.orientation <= 8
