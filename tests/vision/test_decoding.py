"""Pixels: the same upright 8-bit BGR, however the picture was stored."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from service.errors import OutOfMemoryError, SampleRejectedError
from service.types import RejectionReason
from service.vision.decoding import decode_image
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
