"""What an encoded image announces, read from its bytes before any decoder sees them. Pure Python, no pixels.

Content decides the format, never a file name. The parsers follow each container to its end, so that a truncated
file is refused here, and count what makes decoding expensive: `decoding_cost` says what it would come to. One module
`*_structure` holds each format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision import (
    bmp_structure,
    decoding_cost,
    gif_structure,
    heif_structure,
    jpeg_structure,
    png_structure,
    tiff_structure,
    webp_structure,
)
from service.vision.decoding_cost import DecodingCost
from service.vision.exif_orientation import UPRIGHT
from service.vision.image_format import DEFAULT_FORMATS, ImageFormat, identify_format

_JPEG_SCALES = (1, 2)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one encoded image may announce."""

    max_pixels: int
    max_side: int
    """Pixels."""
    max_jpeg_scans: int
    max_scan_megapixels: float
    """Scans times million pixels of one JPEG: each scan goes over the whole image."""
    max_decode_ms: float = 250.0
    """Estimated time of one core."""
    formats: frozenset[ImageFormat] = frozenset(DEFAULT_FORMATS)
    """The accepted ones."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the bytes say of themselves."""

    format: ImageFormat
    width: int
    """Pixels as stored, before any turn."""
    height: int
    orientation: int
    """EXIF orientation, 1..8; 1 where there is none or it makes no sense."""
    cost: DecodingCost
    animated: bool = False
    """The first of several frames is decoded."""
    scale: int = 1
    """The image is decoded at one `scale`th of its sides, because all of it would cost too much."""


def sniff_image(data: bytes, limits: ImageLimits) -> ImageHeader:
    """The header of a complete image of an accepted format within the limits.

    Raises `SampleRejectedError`: `empty`; `unsupported_type` for other content; the format's `..._not_accepted`;
    `unreadable` for a header that makes no sense or a file that ends early; `too_many_pixels`. Bytes after the end of
    the image are ignored.
    """
    if not data:
        raise SampleRejectedError(RejectionReason.EMPTY)
    image_format = identify_format(data)
    if image_format is None:
        raise SampleRejectedError(RejectionReason.UNSUPPORTED_TYPE)
    if image_format not in limits.formats:
        raise SampleRejectedError(RejectionReason(f"{image_format}_not_accepted"))
    try:
        width, height = _SIZES[image_format](data)
        # Before the rest is looked at: what is too large is told as such whatever else is wrong with it.
        _check_size(width, height, limits)
        header = _read_header(data, image_format, width, height, limits)
    except (ValueError, struct.error, IndexError) as error:
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error
    most_milliseconds = decoding_cost.most_milliseconds(image_format, width * height, limits.max_decode_ms)
    if header.cost.milliseconds > most_milliseconds or header.cost.mebibytes > decoding_cost.MOST_MEBIBYTES:
        raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
    return header


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width <= 0 or height <= 0:
        raise SampleRejectedError(RejectionReason.UNREADABLE)
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)


def _read_header(data: bytes, image_format: ImageFormat, width: int, height: int, limits: ImageLimits) -> ImageHeader:
    pixels, orientation, animated = width * height, UPRIGHT, False
    match image_format:
        case ImageFormat.JPEG:
            return _read_jpeg(data, width, height, limits)
        case ImageFormat.PNG:
            contents = png_structure.read_contents(data)
            cost = decoding_cost.png_cost(png_structure.read_frame(data), contents)
            orientation, animated = contents.orientation, contents.animated
        case ImageFormat.WEBP:
            webp = webp_structure.read_structure(data)
            cost = decoding_cost.webp_cost(pixels, webp)
            orientation, animated = webp.orientation, webp.animated
        case ImageFormat.BMP:
            bmp_structure.check_complete(data)
            cost = decoding_cost.bmp_cost(pixels)
        case ImageFormat.GIF:
            gif = gif_structure.read_structure(data)
            cost = decoding_cost.gif_cost(pixels, gif.first_frame_end)
            animated = gif.frames > 1
        case ImageFormat.TIFF:
            tiff = tiff_structure.read_structure(data)
            cost = decoding_cost.tiff_cost(pixels, tiff, data)
            orientation = tiff.orientation
        case ImageFormat.AVIF | ImageFormat.HEIC:
            heif = heif_structure.read_structure(data)
            if heif.cropped and image_format is ImageFormat.AVIF:
                raise ValueError("the decoder would show what is cropped away")
            cost = decoding_cost.heif_cost(image_format, heif)
            orientation = heif.orientation
    return ImageHeader(image_format, width, height, orientation, cost, animated)


def _read_jpeg(data: bytes, width: int, height: int, limits: ImageLimits) -> ImageHeader:
    # A scan costs a pass over the image, so the announced size bounds how many may be.
    max_scans = min(limits.max_jpeg_scans, int(limits.max_scan_megapixels * 1e6 / (width * height)))
    frame, scans = jpeg_structure.read_frame(data), jpeg_structure.read_scans(data, max_scans)
    if scans.count > max_scans:
        raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
    costs = {scale: decoding_cost.jpeg_cost(frame, scans, scale) for scale in _JPEG_SCALES}
    scale = next((scale for scale in costs if costs[scale].milliseconds <= limits.max_decode_ms), _JPEG_SCALES[-1])
    orientation = jpeg_structure.read_orientation(data)
    return ImageHeader(ImageFormat.JPEG, width, height, orientation, costs[scale], scale=scale)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    frame = jpeg_structure.read_frame(data)
    return frame.width, frame.height


def _png_size(data: bytes) -> tuple[int, int]:
    frame = png_structure.read_frame(data)
    return frame.width, frame.height


_SIZES: Mapping[ImageFormat, Callable[[bytes], tuple[int, int]]] = {
    ImageFormat.JPEG: _jpeg_size,
    ImageFormat.PNG: _png_size,
    ImageFormat.WEBP: webp_structure.read_size,
    ImageFormat.BMP: bmp_structure.read_size,
    ImageFormat.GIF: gif_structure.read_size,
    ImageFormat.TIFF: tiff_structure.read_size,
    ImageFormat.AVIF: heif_structure.read_size,
    ImageFormat.HEIC: heif_structure.read_size,
}
