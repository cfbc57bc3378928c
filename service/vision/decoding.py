"""Encoded image -> upright 8-bit BGR pixels, the same for every way an image can be stored."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import OutOfMemoryError, SampleRejectedError
from service.types import RejectionReason
from service.vision import gif_structure, heic_decoding, png_structure
from service.vision.exif_orientation import UPRIGHT
from service.vision.image_format import ImageFormat
from service.vision.sniffing import ImageHeader, ImageLimits, sniff_image

# JPEG and BMP are always decoded to colour: this converts CMYK, and drops the fourth byte of a bitmap, which is
# rarely alpha. The others are taken as stored, because alpha and 16 bits are handled here.
_COLOUR = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION
_HALF_COLOUR = cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION
_TO_COLOUR = frozenset({ImageFormat.JPEG, ImageFormat.BMP})
_TURNED_BY_DECODER = frozenset({ImageFormat.TIFF, ImageFormat.HEIC})
_OPENCV_OUT_OF_MEMORY = -4
_BAND_ROWS = 256


def decode_image(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, BGR, turned upright; smaller than announced where the header's `scale` says so.

    Raises as `sniff_image` and `decode_announced`.
    """
    return decode_announced(data, sniff_image(data, limits))


def decode_announced(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    """The same of an image whose header was read.

    Grey is repeated into three channels, palettes are looked up, CMYK is converted, 16 bits are scaled to 8, and
    transparent pixels are laid over white. Of an animation the first frame is taken. Colour profiles are ignored.
    Raises `SampleRejectedError` (`unreadable`) where the decoder fails or finds another size than the header
    announced; `OutOfMemoryError` when memory runs out.
    """
    stored = _decode(data, header)
    height, width = -(-header.height // header.scale), -(-header.width // header.scale)
    orientation = header.orientation
    if header.format in _TURNED_BY_DECODER:
        if orientation in (5, 6, 7, 8):
            height, width = width, height
        orientation = UPRIGHT
    if stored is None or stored.shape[:2] != (height, width):
        raise SampleRejectedError(RejectionReason.UNREADABLE)
    image_bgr = _to_bgr(_to_8_bits(stored))
    return np.ascontiguousarray(_turn_upright(image_bgr, orientation))


def _decode(data: bytes, header: ImageHeader) -> NDArray[np.integer | np.floating] | None:
    if header.format is ImageFormat.HEIC:
        return heic_decoding.decode_heic(data)
    if header.format is ImageFormat.PNG:
        data = png_structure.only_pixels(data)
    elif header.format is ImageFormat.GIF:
        data = gif_structure.first_frame(data, gif_structure.read_structure(data))
    flags = cv2.IMREAD_UNCHANGED
    if header.format in _TO_COLOUR:
        flags = _COLOUR if header.scale == 1 else _HALF_COLOUR
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == _OPENCV_OUT_OF_MEMORY:
            raise OutOfMemoryError("There is not enough memory to decode a sample.") from error
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error


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
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    if channels == 3:
        return image
    if channels == 4:
        return _over_white(image)
    raise SampleRejectedError(RejectionReason.UNREADABLE)


def _over_white(image_bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 - (255 - colour) * alpha / 255, rounded to nearest; band by band, for memory's sake."""
    image_bgr = np.empty((*image_bgra.shape[:2], 3), np.uint8)
    for top in range(0, len(image_bgr), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        cv2.cvtColor(image_bgra[rows], cv2.COLOR_BGRA2BGR, dst=image_bgr[rows])
        alpha = cv2.extractChannel(image_bgra[rows], 3)
        if int(alpha.min()) < 255:
            darkness = cv2.bitwise_not(image_bgr[rows])
            shown = cv2.multiply(darkness, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
            cv2.bitwise_not(shown, dst=image_bgr[rows])
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
