"""A face of any size and turn -> the 112x112 crop that recognisers of the ArcFace family are trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision.warping import draw_close_up

ALIGNED_SIDE = 112
"""Pixels."""


def align_face(image_bgr: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) and five landmarks (5, 2) -> (112, 112, 3), BGR. Bilinear; black beyond the image.

    Raises `SampleRejectedError` (`too_small`) for landmarks that all lie on one point.
    """
    aligned = np.empty((ALIGNED_SIDE, ALIGNED_SIDE, 3), np.uint8)
    draw_close_up(image_bgr, similarity_to_template(landmarks), aligned)
    return aligned


def arcface_template() -> NDArray[np.float64]:
    """(5, 2): where the eyes, nose tip and mouth corners come to lie, pixels of the crop (ArcFace, CVPR 2019)."""
    return np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )


def similarity_to_template(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) matrix of the turn, scale and shift that take the landmarks closest to the template.

    Least squares in closed form: Umeyama's solution (IEEE PAMI 1991) for two dimensions without reflection. As
    complex numbers, both centred, `template = z * landmarks` gives `z = <landmarks, template> / |landmarks|^2`.
    """
    source = landmarks.astype(np.float64)
    template = arcface_template()
    source_center, template_center = source.mean(axis=0), template.mean(axis=0)
    source_x, source_y = (source - source_center).T
    template_x, template_y = (template - template_center).T
    spread = float(source_x @ source_x + source_y @ source_y)
    if not spread > 0:
        raise SampleRejectedError(RejectionReason.TOO_SMALL)
    cosine = (source_x @ template_x + source_y @ template_y) / spread
    sine = (source_x @ template_y - source_y @ template_x) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = template_center - turn @ source_center
    return np.column_stack([turn, shift])
