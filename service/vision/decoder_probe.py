"""Which of the formats that may be accepted the installed decoders really read."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from service.vision import heic_decoding
from service.vision.image_format import ImageFormat

_PICTURE = np.full((16, 16, 3), 128, np.uint8)
_SUFFIXES = {
    ImageFormat.JPEG: ".jpg",
    ImageFormat.PNG: ".png",
    ImageFormat.WEBP: ".webp",
    ImageFormat.BMP: ".bmp",
    ImageFormat.GIF: ".gif",
    ImageFormat.TIFF: ".tiff",
    ImageFormat.AVIF: ".avif",
}


def missing_decoders(formats: Iterable[ImageFormat]) -> list[ImageFormat]:
    """Those of the formats that cannot be decoded here."""
    return sorted(each for each in formats if not _decodes(each))


def _decodes(image_format: ImageFormat) -> bool:
    if image_format is ImageFormat.HEIC:
        return heic_decoding.has_decoder()
    suffix = _SUFFIXES[image_format]
    if not cv2.haveImageWriter(suffix):
        return False
    _, encoded = cv2.imencode(suffix, _PICTURE)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return decoded is not None and decoded.shape == _PICTURE.shape
