"""Upright close-ups of a found face, on which a detector looks for its landmarks again.

The landmarks of a single pass scatter by several pixels with the scale and place of the face on the canvas. Their
errors on different scales, and on a face and its mirror image, are almost independent: the mean is far steadier.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.vision.alignment import arcface_template, similarity_to_template
from service.vision.candidates import Candidates

_FACE_CENTER = (56.0, 72.0)
"""Pixels of the 112x112 crop."""
_MIRRORED_ORDER = (1, 0, 2, 4, 3)
_CENTRAL_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class LandmarkView:
    """One scale of close-up. Sizes in pixels of its canvas."""

    side: int
    """A multiple of 32."""
    eye_distance: float


@dataclass(frozen=True, slots=True)
class FaceView:
    """One face on the canvas of a view."""

    canvas_bgr: NDArray[np.uint8]  # (S, S, 3)
    to_canvas: NDArray[np.float64]  # (2, 3)
    mirrored: bool

    def landmarks_in_image(self, candidates: Candidates) -> NDArray[np.float64] | None:
        """(5, 2) in pixels of the image, from the best of the canvas' candidates that lies in its middle."""
        side = self.canvas_bgr.shape[0]
        centers = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
        usable = np.isfinite(candidates.landmarks).all(axis=(1, 2))
        central = np.flatnonzero(usable & (np.abs(centers - side / 2) < _CENTRAL_SHARE * side).all(axis=1))
        if not len(central):
            return None
        points = candidates.landmarks[central[np.argmax(candidates.scores[central])]].astype(np.float64)
        if self.mirrored:
            points = points[list(_MIRRORED_ORDER)]
        inverse = np.linalg.inv(self.to_canvas[:, :2])
        found: NDArray[np.float64] = (points - self.to_canvas[:, 2]) @ inverse.T
        return found


def view_face(
    image_bgr: NDArray[np.uint8], landmarks: NDArray[np.float32], view: LandmarkView, *, mirrored: bool
) -> FaceView:
    """The face with these landmarks (5, 2), turned upright in the middle of its canvas; black beyond the image.

    Raises `SampleRejectedError` (`too_small`) for landmarks that all lie on one point.
    """
    template_eyes = arcface_template()[:2]
    scale = view.eye_distance / float(np.linalg.norm(template_eyes[1] - template_eyes[0]))
    to_canvas = similarity_to_template(landmarks) * scale
    to_canvas[:, 2] += view.side / 2 - scale * np.array(_FACE_CENTER)
    if mirrored:
        to_canvas[0] *= -1
        to_canvas[0, 2] += view.side - 1
    canvas = cv2.warpAffine(image_bgr, to_canvas, (view.side, view.side), borderValue=0.0)
    return FaceView(canvas.astype(np.uint8, copy=False), to_canvas, mirrored)
