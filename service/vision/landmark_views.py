"""Upright close-ups of a found face, on which a detector looks for its landmarks again.

The landmarks of a single pass scatter by several pixels with the scale and place of the face on the canvas. Their
errors on different scales, and on a face and its mirror image, are almost independent: the mean is far steadier.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.vision.alignment import arcface_template
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
    """Where one face comes to lie on the canvas of a view, turned upright in its middle."""

    to_canvas: NDArray[np.float64]  # (2, 3)
    side: int

    def draw(self, image_bgr: NDArray[np.uint8], canvases_bgr: NDArray[np.uint8]) -> None:
        """Fill (2, S, S, 3) with the face and its mirror image; black beyond the image (H, W, 3)."""
        cv2.warpAffine(image_bgr, self.to_canvas, (self.side, self.side), dst=canvases_bgr[0], borderValue=0.0)
        cv2.flip(canvases_bgr[0], 1, dst=canvases_bgr[1])

    def landmarks_in_image(self, candidates: Candidates, *, mirrored: bool) -> NDArray[np.float64] | None:
        """(5, 2) in pixels of the image, from the best of the canvas' candidates that lies in its middle."""
        centers = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
        usable = np.isfinite(candidates.landmarks).all(axis=(1, 2))
        central = np.flatnonzero(usable & (np.abs(centers - self.side / 2) < _CENTRAL_SHARE * self.side).all(axis=1))
        if not len(central):
            return None
        points = candidates.landmarks[central[np.argmax(candidates.scores[central])]].astype(np.float64)
        if mirrored:
            points = (points * (-1, 1) + (self.side - 1, 0))[list(_MIRRORED_ORDER)]
        inverse = np.linalg.inv(self.to_canvas[:, :2])
        found: NDArray[np.float64] = (points - self.to_canvas[:, 2]) @ inverse.T
        return found


def view_face(to_template: NDArray[np.float64], view: LandmarkView) -> FaceView:
    """`to_template`: the (2, 3) similarity that takes the face to the recogniser's crop (`similarity_to_template`)."""
    template_eyes = arcface_template()[:2]
    scale = view.eye_distance / float(np.linalg.norm(template_eyes[1] - template_eyes[0]))
    to_canvas = to_template * scale
    to_canvas[:, 2] += view.side / 2 - scale * np.array(_FACE_CENTER)
    return FaceView(to_canvas, view.side)
