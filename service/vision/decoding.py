"""Encoded image -> upright 8-bit BGR pixels, the same for every way an image can be stored."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import OutOfMemoryError, SampleRejectedError
from service.types import RejectionReason
from service.vision.sniffing import ImageFormat, ImageLimits, sniff_image

# JPEG and BMP are always decoded to colour: this converts CMYK, and drops the fourth byte of a bitmap, which is
# rarely alpha. PNG and WebP are taken as stored, because alpha and 16 bits are handled here.
_FLAGS = {
    ImageFormat.JPEG: cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION,
    ImageFormat.BMP: cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION,
    ImageFormat.PNG: cv2.IMREAD_UNCHANGED,
    ImageFormat.WEBP: cv2.IMREAD_UNCHANGED,
}
_OPENCV_OUT_OF_MEMORY = -4
_BAND_ROWS = 256


def decode_image(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, BGR, turned upright by its EXIF orientation (JPEG, PNG and WebP alike).

    Grey is repeated into three channels, palettes are looked up, CMYK is converted, 16 bits are scaled to 8, and
    transparent pixels are laid over white. Of an animation the first frame is taken. Colour profiles are ignored.
    Raises `SampleRejectedError` as `sniff_image` does, and `unreadable` where the decoder fails or finds another
    size than the header announced; `OutOfMemoryError` when memory runs out.
    """
    header = sniff_image(data, limits)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[header.format])
    except cv2.error as error:
        if error.code == _OPENCV_OUT_OF_MEMORY:
            raise OutOfMemoryError("There is not enough memory to decode a sample.") from error
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error
    if stored is None or stored.shape[:2] != (header.height, header.width):
        raise SampleRejectedError(RejectionReason.UNREADABLE)
    image_bgr = _to_bgr(_to_8_bits(stored))
    return np.ascontiguousarray(_turn_upright(image_bgr, header.orientation))


def _to_8_bits(image: NDArray[np.integer | np.floating]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    if image.dtype == np.uint16:
        # 65535 = 255 * 257; rounds to nearest, where the decoder's own conversion cuts off.
        return cv2.convertScaleAbs(image, alpha=1 / 257).astype(np.uint8, copy=False).reshape(image.shape)
    raise SampleRejectedError(RejectionReason.UNREADABLE)


def _to_bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) -> (H, W, 3)."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if channels == 3:
        return image
    if channels == 4:
        return _over_white(image)
    raise SampleRejectedError(RejectionReason.UNREADABLE)


def _over_white(image_bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Band by band, because the products need 16 bits."""
    image_bgr = np.ascontiguousarray(image_bgra[..., :3])
    alpha = image_bgra[..., 3:]
    if int(alpha.min()) == 255:
        return image_bgr
    for top in range(0, len(image_bgr), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        opacity = alpha[rows].astype(np.uint16)
        blended = image_bgr[rows] * opacity + 255 * (255 - opacity) + 127
        image_bgr[rows] = blended // 255
    return image_bgr


def _turn_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo what EXIF orientation 1..8 says was done (CIPA DC-008)."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
