"""Square close-ups of an image, bilinear."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WORTH_A_CHANNEL = 6
"""Pixels of an image for one of the close-up, up to which a fourth channel for all of them is made in less time than it
saves."""


def draw_close_up(
    image_bgr: NDArray[np.uint8], to_close_up: NDArray[np.float64], close_up_bgr: NDArray[np.uint8]
) -> None:
    """Draw (H, W, 3) into (S, S, 3) as the matrix (2, 3), from pixels of the image to those of the close-up, says.
    Bilinear; black beyond the image."""
    side = len(close_up_bgr)
    if image_bgr.shape[0] * image_bgr.shape[1] > _WORTH_A_CHANNEL * side * side:
        cv2.warpAffine(image_bgr, to_close_up, (side, side), dst=close_up_bgr, borderValue=0.0)
        return
    # OpenCV 5 takes four channels in 0.4 of the time of three, and answers the same bits.
    four_channels = cv2.warpAffine(
        cv2.cvtColor(image_bgr, cv2.COLOR_BGR2BGRA), to_close_up, (side, side), borderValue=0.0
    )
    cv2.cvtColor(four_channels, cv2.COLOR_BGRA2BGR, dst=close_up_bgr)
