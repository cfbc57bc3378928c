"""Estimates: what they grow with, and that nothing costs much more than an ordinary picture of its size."""

from __future__ import annotations

import dataclasses

import cv2
import pytest

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision import decoding_cost
from service.vision.decoding_cost import DecodingCost, most_milliseconds
from service.vision.image_format import ImageFormat
from service.vision.jpeg_structure import JpegFrame, JpegScans
from service.vision.sniffing import sniff_image
from tests.hostile.corpus import png_of_zeros
from tests.hostile.jpegs import scan_bomb
from tests.hostile.photographs import encode, encode_opencv, noise_rgb, photograph_rgb
from tests.vision.pictures import LIMITS

_FULL = (
    cv2.IMWRITE_JPEG_QUALITY,
    100,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
LARGE = JpegFrame(6_000, 4_000, 1.5, progressive=True)


def cost_of(data: bytes) -> DecodingCost:
    return sniff_image(data, dataclasses.replace(LIMITS, formats=frozenset(ImageFormat))).cost


def test_scans_bytes_and_samples_cost_time_and_a_smaller_scale_saves_some() -> None:
    plain = decoding_cost.jpeg_cost(LARGE, JpegScans(10, 10**6), 1)
    assert decoding_cost.jpeg_cost(LARGE, JpegScans(20, 10**6), 1).milliseconds > plain.milliseconds
    assert decoding_cost.jpeg_cost(LARGE, JpegScans(10, 2 * 10**6), 1).milliseconds > plain.milliseconds
    full_colour = dataclasses.replace(LARGE, samples_per_pixel=3.0)
    assert decoding_cost.jpeg_cost(full_colour, JpegScans(10, 10**6), 1).mebibytes > plain.mebibytes
    half = decoding_cost.jpeg_cost(LARGE, JpegScans(10, 10**6), 2)
    assert half.milliseconds < plain.milliseconds
    assert half.mebibytes < plain.mebibytes


def test_a_picture_that_costs_too_much_is_decoded_at_half_its_sides_and_no_other() -> None:
    data = scan_bomb(2_000, 1_000, 20)
    cost = sniff_image(data, LIMITS).cost
    assert sniff_image(data, LIMITS).scale == 1
    tight = dataclasses.replace(LIMITS, max_decode_ms=cost.milliseconds - 0.1)
    header = sniff_image(data, tight)
    assert header.scale == 2
    assert header.cost.milliseconds < cost.milliseconds
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(data, dataclasses.replace(LIMITS, max_decode_ms=header.cost.milliseconds - 0.1))
    assert caught.value.reason is RejectionReason.TOO_MANY_PIXELS


def test_depth_alpha_and_interlacing_cost_more() -> None:
    grey, rgb, rgba = (cost_of(png_of_zeros(800, 500, color=color)) for color in (0, 2, 6))
    assert grey.milliseconds < rgb.milliseconds < rgba.milliseconds
    deep = cost_of(png_of_zeros(800, 500, color=6, depth=16))
    assert deep.mebibytes > 1.5 * rgba.mebibytes


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_what_may_be_spent_grows_with_the_size_up_to_the_limit(image_format: ImageFormat) -> None:
    small, medium = (most_milliseconds(image_format, pixels, 250.0) for pixels in (10_000, 1_000_000))
    assert 0.0 < small < medium <= most_milliseconds(image_format, 25_000_000, 250.0) <= 250.0
    assert most_milliseconds(image_format, 25_000_000, 10.0) == 10.0


def test_photographs_are_far_from_the_limit_and_noise_is_near_or_past_it() -> None:
    def share(data: bytes) -> float:
        header = sniff_image(data, LIMITS)
        pixels = header.width * header.height
        return header.cost.milliseconds / most_milliseconds(header.format, pixels, LIMITS.max_decode_ms)

    photograph = photograph_rgb(900, 600)
    for options in ({}, {"progressive": True}, {"quality": 95, "subsampling": 0}):
        assert share(encode(photograph, "JPEG", **options)) < 0.7
    assert share(encode(photograph, "PNG")) < 0.7
    assert share(encode(photograph, "WEBP")) < 0.7
    assert share(encode_opencv(noise_rgb(900, 600), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)) > 0.5
    with pytest.raises(SampleRejectedError) as caught:
        share(encode_opencv(noise_rgb(900, 600), ".jpg", *_FULL, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    assert caught.value.reason is RejectionReason.TOO_MANY_PIXELS


def test_memory_is_limited_too() -> None:
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(png_of_zeros(5_000, 4_900, color=6, depth=16), dataclasses.replace(LIMITS, max_decode_ms=1e6))
    assert caught.value.reason is RejectionReason.TOO_MANY_PIXELS


def test_16_bits_of_a_large_photograph_are_too_much() -> None:
    with pytest.raises(SampleRejectedError):
        sniff_image(png_of_zeros(6_000, 4_000, color=2, depth=16), LIMITS)
