"""Pixels: the same upright 8-bit BGR, however the picture was stored."""

from __future__ import annotations

import dataclasses
import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from service.errors import OutOfMemoryError, SampleRejectedError
from service.types import RejectionReason
from service.vision.decoding import decode_announced, decode_image
from service.vision.image_format import ImageFormat
from service.vision.sniffing import sniff_image
from tests.vision.pictures import (
    LIMITS,
    as_stored,
    decode_with_pillow,
    encode,
    exif_with_orientation,
    picture_rgb,
    png_announcing,
    png_chunk,
    webp_announcing,
)

EVERY_FORMAT = dataclasses.replace(LIMITS, formats=frozenset(ImageFormat))
LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("BMP", {})]


def reason_of(data: bytes) -> RejectionReason:
    with pytest.raises(SampleRejectedError) as caught:
        decode_image(data, LIMITS)
    return caught.value.reason


@pytest.mark.parametrize(("image_format", "options"), LOSSLESS)
def test_lossless_formats_give_back_every_pixel_in_bgr(image_format: str, options: dict[str, object]) -> None:
    image_bgr = decode_image(encode(picture_rgb(), image_format, **options), LIMITS)
    assert image_bgr.dtype == np.uint8
    assert image_bgr.flags.c_contiguous
    np.testing.assert_array_equal(image_bgr, picture_rgb()[..., ::-1])


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {}), ("RGB", {"progressive": True}), ("L", {}), ("CMYK", {}), ("RGB", {"subsampling": 0})],
)
def test_jpeg_colours_agree_with_pillow(mode: str, options: dict[str, object]) -> None:
    data = encode(Image.fromarray(picture_rgb()).convert(mode), "JPEG", quality=95, **options)
    difference = decode_image(data, LIMITS).astype(int) - decode_with_pillow(data)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_exactly_once(image_format: str, orientation: int) -> None:
    stored = as_stored(picture_rgb(), orientation)
    data = encode(stored, image_format, quality=100, exif=exif_with_orientation(orientation))
    difference = decode_image(data, LIMITS).astype(int) - picture_rgb()[..., ::-1]
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("image_format", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_grey_palette_and_bilevel_become_three_channels(image_format: str, mode: str) -> None:
    data = encode(Image.fromarray(picture_rgb()).convert(mode), image_format)
    np.testing.assert_array_equal(decode_image(data, LIMITS), decode_with_pillow(data))


def test_16_bits_are_rounded_to_8() -> None:
    deep = np.linspace(0, 65535, 48 * 32 * 3).reshape(32, 48, 3).astype(np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    np.testing.assert_array_equal(decode_image(data, LIMITS), np.round(deep / 257).astype(np.uint8))


def test_16_bit_grey() -> None:
    deep = np.linspace(0, 65535, 48 * 32).reshape(32, 48).astype(np.uint16)
    image_bgr = decode_image(cv2.imencode(".png", deep)[1].tobytes(), LIMITS)
    np.testing.assert_array_equal(image_bgr, np.repeat(np.round(deep / 257).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize(("image_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_transparent_pixels_lie_over_white(image_format: str, options: dict[str, object]) -> None:
    alpha = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))
    data = encode(np.dstack([picture_rgb(), alpha]), image_format, **options)
    opacity = alpha[..., None] / 255
    expected = picture_rgb()[..., ::-1] * opacity + 255 * (1 - opacity)
    assert np.abs(decode_image(data, LIMITS) - expected).max() <= 1


def test_grey_with_alpha_and_a_transparent_palette_entry() -> None:
    grey = Image.fromarray(picture_rgb()).convert("LA")
    grey.putalpha(0)
    assert (decode_image(encode(grey, "PNG"), LIMITS) == 255).all()
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([index // 3 for index in range(768)])
    assert (decode_image(encode(palette, "PNG", transparency=3), LIMITS) == 255).all()


@pytest.mark.parametrize("image_format", ["WEBP", "PNG"])
def test_the_first_frame_of_an_animation(image_format: str) -> None:
    frames = [Image.fromarray(np.full((16, 16, 3), grey, np.uint8)) for grey in (10, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, image_format, save_all=True, append_images=frames[1:], lossless=True)
    assert (decode_image(stream.getvalue(), LIMITS) == 10).all()


def test_a_wrong_name_does_not_matter_and_other_content_is_refused() -> None:
    assert reason_of(b"\0" * 5000) is RejectionReason.UNSUPPORTED_TYPE
    assert reason_of(b"") is RejectionReason.EMPTY


@pytest.mark.parametrize("data", [png_announcing(40, 40), webp_announcing(40, 40)])
def test_a_header_without_the_pixels_it_announces_is_unreadable(data: bytes) -> None:
    assert reason_of(data) is RejectionReason.UNREADABLE


def test_a_damaged_checksum_is_unreadable() -> None:
    data = bytearray(encode(picture_rgb(), "PNG"))
    data[data.index(b"IDAT") + 10] ^= 0xFF
    assert reason_of(bytes(data)) is RejectionReason.UNREADABLE


def test_half_of_the_rows_is_unreadable_even_in_a_valid_container() -> None:
    data = encode(picture_rgb(), "PNG")
    header = data[: data.index(b"IDAT") - 4]
    rows = zlib.compress(b"\0" * (16 * (1 + 48 * 3)))
    assert reason_of(header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")) is RejectionReason.UNREADABLE


def test_running_out_of_memory_is_no_fault_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        error = cv2.error("Insufficient memory")
        error.code = -4
        raise error

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(OutOfMemoryError):
        decode_image(encode(picture_rgb(), "PNG"), LIMITS)


@pytest.mark.parametrize("image_format", ["TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_further_formats_are_turned_exactly_once(image_format: str, orientation: int) -> None:
    stored = as_stored(picture_rgb(), orientation)
    data = encode(stored, image_format, quality=100, exif=exif_with_orientation(orientation))
    difference = decode_image(data, EVERY_FORMAT).astype(int) - picture_rgb()[..., ::-1]
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_exactly_once(orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    pillow_heif.register_heif_opener()
    picture = picture_rgb(96, 64)
    data = encode(
        as_stored(picture, orientation), "HEIF", quality=95, exif=exif_with_orientation(orientation).tobytes()
    )
    difference = decode_image(data, EVERY_FORMAT).astype(int) - picture[..., ::-1]
    assert np.abs(difference).mean() < 4


def test_the_first_frame_of_an_animated_gif() -> None:
    frames = [Image.fromarray(np.full((16, 16, 3), grey, np.uint8)) for grey in (10, 200)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert sniff_image(data, EVERY_FORMAT).animated
    assert np.abs(decode_image(data, EVERY_FORMAT).astype(int) - 10).max() <= 1


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(400, 300), (401, 301)])
def test_half_the_sides_are_the_same_picture(orientation: int, size: tuple[int, int]) -> None:
    picture = picture_rgb(*size)
    data = encode(as_stored(picture, orientation), "JPEG", quality=95, exif=exif_with_orientation(orientation))
    header = dataclasses.replace(sniff_image(data, LIMITS), scale=2)
    half = decode_announced(data, header)
    assert half.shape == (-(-size[1] // 2), -(-size[0] // 2), 3)
    whole = cv2.resize(half, size, interpolation=cv2.INTER_LINEAR)
    assert np.abs(whole.astype(int) - picture[..., ::-1]).mean() < 3


@pytest.mark.parametrize("alpha", [0, 1, 127, 128, 254])
def test_alpha_is_rounded_to_the_nearest_level(alpha: int) -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (300, 1))
    image = np.dstack([levels, levels, levels, np.full_like(levels, alpha)])
    exact = np.round((levels.astype(float) * alpha + 255.0 * (255 - alpha)) / 255.0)
    np.testing.assert_array_equal(decode_image(encode(image, "PNG"), LIMITS)[..., 0], exact)
