"""Upright close-ups of a found face, on which a detector looks for its landmarks again.

The landmarks of a single pass scatter by several pixels with the scale and place of the face on the canvas. Their
errors on different scales, and on a face and its mirror image, are almost independent: the mean is far steadier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.vision.alignment import arcface_template
from service.vision.candidates import BatchCandidates
from service.vision.warping import draw_close_up

_FACE_CENTER = (56.0, 72.0)
"""Pixels of the 112x112 crop."""
_MIRRORED_ORDER = [1, 0, 2, 4, 3]
_CENTRAL_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class LandmarkView:
    """One scale of close-up. Sizes in pixels of its canvas."""

    side: int
    """A multiple of 32."""
    eye_distance: float


def place_faces(to_template: NDArray[np.float64], view: LandmarkView) -> NDArray[np.float64]:
    """(N, 2, 3) from the similarities that take faces to the recogniser's crop (`similarity_to_template`) to those that
    put them upright in the middle of the view's canvas."""
    template_eyes = arcface_template()[:2]
    scale = view.eye_distance / float(np.linalg.norm(template_eyes[1] - template_eyes[0]))
    to_canvas = to_template * scale
    to_canvas[..., 2] += view.side / 2 - scale * np.array(_FACE_CENTER)
    return to_canvas


def draw_faces(images_bgr: Sequence[NDArray[np.uint8]], to_canvas: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """(N, 2, S, S, 3): the face of each image and its mirror image; black beyond the image."""
    canvases_bgr = np.empty((len(images_bgr), 2, side, side, 3), np.uint8)
    for image_bgr, matrix, (plain, mirrored) in zip(images_bgr, to_canvas, canvases_bgr, strict=True):
        draw_close_up(image_bgr, matrix, plain)
        cv2.flip(plain, 1, dst=mirrored)
    return canvases_bgr


def landmarks_in_images(found: BatchCandidates, to_canvas: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(N, 2, 5, 2) in pixels of each image, from its two canvases: the landmarks of the best candidate that lies in the
    middle; NaN where there is none."""
    candidates = found.candidates
    centers = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
    usable = np.isfinite(candidates.landmarks).all(axis=(1, 2))
    central = np.flatnonzero(usable & (np.abs(centers - side / 2) < _CENTRAL_SHARE * side).all(axis=1))[::-1]
    # The last one written to a canvas stays: the best, and of equal ones the first.
    rising = central[np.argsort(candidates.scores[central], kind="stable")]
    best = np.full((2 * len(to_canvas), 5, 2), np.nan)
    best[found.canvases[rising]] = candidates.landmarks[rising]
    points = best.reshape(-1, 2, 5, 2)
    points[:, 1] = (points[:, 1] * (-1, 1) + (side - 1, 0))[:, _MIRRORED_ORDER]
    inverse = np.linalg.inv(to_canvas[..., :2])
    seen: NDArray[np.float64] = (points - to_canvas[:, None, None, :, 2]) @ inverse.transpose(0, 2, 1)[:, None]
    return seen
