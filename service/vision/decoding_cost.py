"""What decoding one image costs, estimated from what its header and structure announce.

A decoder's time goes with the samples it makes and the coded bytes it reads, its memory with the pixels it holds, at
prices of its format. They were measured on one core of the machine that `docs/images.md` names, with the costliest
contents that `benchmarks/decode_cost.py` makes. Estimates do not depend on the machine that makes them: what is
refused here is refused everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.vision.deflate_density import count_patterned_bytes
from service.vision.heif_structure import HeifStructure
from service.vision.image_format import ImageFormat
from service.vision.jpeg_structure import JpegFrame, JpegScans
from service.vision.png_structure import PngContents, PngFrame
from service.vision.tiff_structure import TiffStructure
from service.vision.webp_structure import WebpStructure

_MIB = 2**20
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class DecodingCost:
    milliseconds: float
    """Of one core."""
    mebibytes: float
    """At the peak, the decoded image included."""


MOST_MEBIBYTES = 240.0
"""Of one image; with the encoded bytes at their limit it is 255."""
_FREE_MS = 3.0
_MOST_TIMES_ORDINARY = 3.0
_ORDINARY_NS = {
    ImageFormat.JPEG: 9.0,
    ImageFormat.PNG: 30.0,
    ImageFormat.WEBP: 12.0,
    ImageFormat.BMP: 3.5,
    ImageFormat.GIF: 34.0,
    ImageFormat.TIFF: 14.0,
    ImageFormat.AVIF: 45.0,
    ImageFormat.HEIC: 60.0,
}
"""Of a photograph as cameras, editors and web sites write it, each pixel."""
_TOUCHING_NS = 1.0
"""Of a byte of memory that is used for the first time."""
_PATTERNED_NS = 90.0
"""Of a byte of a deflate stream that may be one of a block's header."""


def most_milliseconds(image_format: ImageFormat, pixels: int, max_decode_ms: float) -> float:
    """What an image of this format and size may cost: hardly more than an ordinary one."""
    ordinary = _ORDINARY_NS[image_format] * pixels / _NS_PER_MS
    return min(max_decode_ms, _FREE_MS + _MOST_TIMES_ORDINARY * ordinary)


def jpeg_cost(frame: JpegFrame, scans: JpegScans, scale: int) -> DecodingCost:
    """Decoded at 1/`scale` of its sides: all scans are read, and fewer samples are made of them."""
    pixels = frame.width * frame.height
    samples, made = pixels * frame.samples_per_pixel, pixels / scale**2
    nanoseconds = 0.6 * made * (1 + frame.samples_per_pixel)
    held = 3.0 * made
    if frame.progressive or scans.count > 1:  # coefficients are kept from scan to scan
        return _cost(nanoseconds + 17.0 * scans.coded_bytes + 0.2 * pixels * scans.count, held + 2.0 * samples)
    return _cost(nanoseconds + 6.5 * scans.coded_bytes + 0.3 * samples, held)


def png_cost(frame: PngFrame, contents: PngContents) -> DecodingCost:
    """Of the first frame."""
    nanoseconds = 11.0 * len(contents.coded) + (2.5 if frame.interlaced else 1.0) * frame.raw_bytes
    nanoseconds += _PATTERNED_NS * count_patterned_bytes(contents.coded)
    return _with_conversions(frame.width * frame.height, frame.channels, frame.deep, nanoseconds)


def webp_cost(pixels: int, structure: WebpStructure) -> DecodingCost:
    """Of the first frame."""
    nanoseconds = 3.0 * pixels + 9_000.0 * structure.code_groups
    held = (14.0 if structure.animated else 7.0) * pixels + 6_000.0 * structure.code_groups
    if structure.lossless:
        return _cost(nanoseconds + 6.0 * structure.coded_bytes, held)
    if structure.alpha_bytes:
        nanoseconds += 8.0 * pixels + 10.0 * structure.alpha_bytes
    return _cost(nanoseconds + 41.0 * structure.coded_bytes, held)


def bmp_cost(pixels: int) -> DecodingCost:
    return _cost(0.5 * pixels, 3.0 * pixels)


def gif_cost(pixels: int, coded_bytes: int) -> DecodingCost:
    """Of the first frame."""
    return _cost(10.0 * pixels + 20.0 * coded_bytes, 7.0 * pixels)


def tiff_cost(pixels: int, structure: TiffStructure, data: bytes) -> DecodingCost:
    nanoseconds = 4.0 * len(data) + structure.raw_bytes
    if structure.deflated:
        nanoseconds += _PATTERNED_NS * count_patterned_bytes(data)
    return _with_conversions(pixels, structure.channels, structure.deep, nanoseconds)


def heif_cost(image_format: ImageFormat, structure: HeifStructure) -> DecodingCost:
    """AVIF or HEIC."""
    per_byte = 60.0 if image_format is ImageFormat.HEIC else 110.0
    nanoseconds = 15.0 * structure.coded_pixels + per_byte * structure.coded_bytes
    return _cost(nanoseconds, 10.0 * structure.coded_pixels)


def _with_conversions(pixels: int, channels: int, deep: bool, nanoseconds: float) -> DecodingCost:
    """Of formats that are taken as stored: 16 bits are made 8, alpha is laid over white."""
    alpha = channels in (2, 4)
    stored = (4.0 if alpha else 3.0) * (2.0 if deep else 1.0)
    held = 2.0 * stored
    if deep:
        nanoseconds += 1.0 * pixels * channels
        held += stored / 2.0
    if alpha:
        nanoseconds += 5.0 * pixels
        held += 3.0
    return _cost(nanoseconds, held * pixels)


def _cost(nanoseconds: float, held_bytes: float) -> DecodingCost:
    return DecodingCost((nanoseconds + _TOUCHING_NS * held_bytes) / _NS_PER_MS, held_bytes / _MIB)
