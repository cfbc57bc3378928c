"""The parsers of images and clips, and the decoders behind them, as a fuzzer calls them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from contextlib import suppress

from service.errors import SampleRejectedError
from service.vision import (
    bmp_structure,
    gif_structure,
    heif_structure,
    jpeg_structure,
    png_structure,
    tiff_structure,
    webp_structure,
)
from service.vision.clip_structure import sniff_clip
from service.vision.clips import FRAMES, read_frames
from service.vision.decoding import decode_announced
from service.vision.deflate_density import count_patterned_bytes
from service.vision.exif_orientation import parse_orientation
from service.vision.heic_decoding import has_decoder
from service.vision.image_format import ImageFormat
from service.vision.sniffing import ImageHeader, ImageLimits, sniff_image

LIMITS = ImageLimits(
    max_pixels=1_000_000, max_side=2_000, max_jpeg_scans=100, max_scan_megapixels=250, formats=frozenset(ImageFormat)
)
SMALL = ImageLimits(
    max_pixels=40_000,
    max_side=512,
    max_jpeg_scans=20,
    max_scan_megapixels=2,
    formats=frozenset(ImageFormat) - (set() if has_decoder() else {ImageFormat.HEIC}),
)
"""For what decodes, so that there are many tries in a second."""
_DOCUMENTED = (ValueError, struct.error, IndexError)
"""Of the structure parsers: what `sniff_image` takes for a broken file."""
_ORIENTATIONS = range(1, 9)


def jpeg(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        assert 0 < jpeg_structure.read_frame(data).samples_per_pixel <= 4
    with suppress(*_DOCUMENTED):
        scans = jpeg_structure.read_scans(data, at_most=LIMITS.max_jpeg_scans)
        assert 1 <= scans.count <= LIMITS.max_jpeg_scans + 1
        assert scans.coded_bytes <= len(data)
    with suppress(*_DOCUMENTED):
        assert jpeg_structure.read_orientation(data) in _ORIENTATIONS


def png(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        png_structure.read_frame(data)
    with suppress(*_DOCUMENTED):
        contents = png_structure.read_contents(data)
        assert contents.orientation in _ORIENTATIONS
        assert len(contents.coded) <= len(data)
        kept = png_structure.only_pixels(data)
        assert len(kept) <= len(data)
        assert png_structure.read_contents(kept).coded == contents.coded


def webp(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        webp_structure.read_size(data)
    with suppress(*_DOCUMENTED):
        structure = webp_structure.read_structure(data)
        assert structure.orientation in _ORIENTATIONS
        assert structure.coded_bytes <= len(data)


def gif(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        gif_structure.read_size(data)
    with suppress(*_DOCUMENTED):
        structure = gif_structure.read_structure(data)
        first = gif_structure.first_frame(data, structure)
        assert structure.frames >= 1
        assert gif_structure.read_structure(first).frames == 1


def bmp(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        bmp_structure.read_size(data)
    with suppress(*_DOCUMENTED):
        bmp_structure.check_complete(data)


def tiff(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        tiff_structure.read_size(data)
    with suppress(*_DOCUMENTED):
        structure = tiff_structure.read_structure(data)
        assert structure.orientation in _ORIENTATIONS
        assert structure.raw_bytes >= 0


def heif(data: bytes) -> None:
    with suppress(*_DOCUMENTED):
        heif_structure.read_size(data)
    with suppress(*_DOCUMENTED):
        structure = heif_structure.read_structure(data)
        assert structure.orientation in _ORIENTATIONS
        assert structure.coded_pixels >= 0


def exif(data: bytes) -> None:
    assert parse_orientation(data) in _ORIENTATIONS


def density(data: bytes) -> None:
    assert 0 <= count_patterned_bytes(data) <= len(data)


def sniffing(data: bytes) -> None:
    header = _sniff(data, LIMITS)
    if header is None:
        return
    assert 0 < header.width * header.height <= LIMITS.max_pixels
    assert max(header.width, header.height) <= LIMITS.max_side
    assert header.orientation in _ORIENTATIONS
    assert math.isfinite(header.cost.milliseconds)
    assert 0 <= header.cost.milliseconds <= LIMITS.max_decode_ms


def decoding(data: bytes) -> None:
    header = _sniff(data, SMALL)
    if header is None:
        return
    with suppress(SampleRejectedError):
        image_bgr = decode_announced(data, header)
        assert image_bgr.dtype == "uint8"
        assert image_bgr.ndim == 3
        assert image_bgr.shape[2] == 3


def clips(data: bytes) -> None:
    clip_format = sniff_clip(data)
    if clip_format is None:
        return
    with suppress(SampleRejectedError):
        assert 1 <= len(read_frames(data, clip_format, SMALL)) <= FRAMES


def _sniff(data: bytes, limits: ImageLimits) -> ImageHeader | None:
    try:
        return sniff_image(data, limits)
    except SampleRejectedError:
        return None


IMAGE_TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (jpeg, png, webp, gif, bmp, tiff, heif, exif, density, sniffing, decoding, clips)
}
