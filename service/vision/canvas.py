"""Fitting images of any size onto the square canvases that a detector runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FittedImage:
    """How an image lies on its canvas, at the top left."""

    scale_x: float
    """Canvas pixels per image pixel."""
    scale_y: float


def choose_canvas(height: int, width: int, canvas_sides: Sequence[int]) -> int:
    """Index of the first (smallest) canvas that holds the image as it is, else of the last."""
    longer = max(height, width)
    return next((index for index, side in enumerate(canvas_sides) if longer <= side), len(canvas_sides) - 1)


def fit_to_canvas(image_bgr: NDArray[np.uint8], canvas_bgr: NDArray[np.uint8], *, upscale: bool) -> FittedImage:
    """Draw (H, W, 3) on a black canvas (S, S, 3) so that its longer side fills it; a smaller image stays as it is
    unless `upscale`.

    Sizes are cut off to whole pixels and resampled bilinearly as `insightface` does, for equal boxes.
    """
    side = len(canvas_bgr)
    height, width = image_bgr.shape[:2]
    if max(height, width) > side or upscale:
        longer = max(height, width)
        fitted_height = max(1, side if height == longer else int(side * (height / width)))
        fitted_width = max(1, side if height < longer or height == width else int(side / (height / width)))
    else:
        fitted_height, fitted_width = height, width
    if (fitted_height, fitted_width) == (height, width):
        canvas_bgr[:height, :width] = image_bgr
    else:
        canvas_bgr[:fitted_height, :fitted_width] = cv2.resize(image_bgr, (fitted_width, fitted_height))
    return FittedImage(fitted_width / width, fitted_height / height)
