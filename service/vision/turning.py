"""Quarter turns of an image, and detections in a turned image brought back to the upright one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.types import Detection


def turn_image(image_bgr: NDArray[np.uint8], quarter_turns: int) -> NDArray[np.uint8]:
    """(H, W, 3) turned anti-clockwise by 0..3 quarters."""
    return np.ascontiguousarray(np.rot90(image_bgr, quarter_turns))


def turn_back(detection: Detection, quarter_turns: int, *, height: int, width: int) -> Detection:
    """A detection of the turned image, in pixels of the image before `turn_image`; `height` and `width` are those
    of that image."""
    x1, y1, x2, y2 = detection.box
    corners = _turn_points_back(np.array([[x1, y1], [x2, y2]]), quarter_turns, height, width)
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    return Detection(
        box=(float(left), float(top), float(right), float(bottom)),
        score=detection.score,
        landmarks=_turn_points_back(detection.landmarks, quarter_turns, height, width).astype(np.float32),
    )


def _turn_points_back(
    points: NDArray[np.floating], quarter_turns: int, height: int, width: int
) -> NDArray[np.floating]:
    """(M, 2) x, y. Pixel centres are whole numbers, so the last column is at `width - 1`."""
    x, y = points.T
    match quarter_turns:
        case 1:
            x, y = width - 1 - y, x
        case 2:
            x, y = width - 1 - x, height - 1 - y
        case 3:
            x, y = y, height - 1 - x
    return np.stack([x, y], axis=1)
