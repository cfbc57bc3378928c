"""What an encoded image announces, read from its bytes before any decoder sees them. Pure Python, no pixels.

Content decides the type, never a file name. The parsers follow each container to its end, so that a truncated
file is refused here, and count what makes decoding expensive. `jpeg_structure`, `png_structure`, `webp_structure`
and `bmp_structure` hold one format each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision import bmp_structure, jpeg_structure, png_structure, webp_structure


class ImageFormat(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one encoded image may announce."""

    max_pixels: int
    max_side: int
    """Pixels."""
    max_jpeg_scans: int
    max_scan_megapixels: float
    """Scans times million pixels of one JPEG: each scan goes over the whole image."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the bytes say of themselves."""

    format: ImageFormat
    width: int
    """Pixels as stored, before any turn."""
    height: int
    orientation: int
    """EXIF orientation, 1..8; 1 where there is none or it makes no sense."""


def sniff_image(data: bytes, limits: ImageLimits) -> ImageHeader:
    """The header of a complete JPEG, PNG, WebP or BMP within the limits.

    Raises `SampleRejectedError`: `empty`; `unsupported_type` for other content; `unreadable` for a header that
    makes no sense or a file that ends early; `too_many_pixels`. Bytes after the end of the image are ignored.
    """
    if not data:
        raise SampleRejectedError(RejectionReason.EMPTY)
    try:
        return _read_header(data, limits)
    except (ValueError, struct.error, IndexError) as error:
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error


def _read_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    if data.startswith(jpeg_structure.SIGNATURE):
        image_format, (width, height) = ImageFormat.JPEG, jpeg_structure.read_size(data)
        _check_size(width, height, limits)
        # A scan costs a pass over the image, so the announced size bounds how many may be.
        max_scans = min(limits.max_jpeg_scans, int(limits.max_scan_megapixels * 1e6 / (width * height)))
        scans = jpeg_structure.count_scans(data, max_scans)
        if scans > max_scans:
            raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
        orientation = jpeg_structure.read_orientation(data)
    elif data.startswith(png_structure.SIGNATURE):
        image_format, (width, height) = ImageFormat.PNG, png_structure.read_size(data)
        _check_size(width, height, limits)
        orientation = png_structure.read_orientation(data)
    elif webp_structure.is_webp(data):
        image_format, (width, height) = ImageFormat.WEBP, webp_structure.read_size(data)
        _check_size(width, height, limits)
        orientation = webp_structure.read_orientation(data)
    elif data.startswith(bmp_structure.SIGNATURE):
        image_format, (width, height) = ImageFormat.BMP, bmp_structure.read_size(data)
        _check_size(width, height, limits)
        bmp_structure.check_complete(data)
        orientation = 1
    else:
        raise SampleRejectedError(RejectionReason.UNSUPPORTED_TYPE)
    return ImageHeader(image_format, width, height, orientation)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width <= 0 or height <= 0:
        raise SampleRejectedError(RejectionReason.UNREADABLE)
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
