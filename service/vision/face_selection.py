"""Which of the faces found in a sample is its subject's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.errors import SampleRejectedError
from service.types import Detection, FacePolicy, RejectionReason


def choose_face(detections: Sequence[Detection], policy: FacePolicy, min_eye_distance_pixels: float) -> Detection:
    """The face by the policy; among equal areas the one with the higher score, then the earlier one.

    Raises `SampleRejectedError`: `no_face`, `several_faces` (policy `only`), `too_small` where the eyes of the
    chosen face are closer together than `min_eye_distance_pixels`.
    """
    if not detections:
        raise SampleRejectedError(RejectionReason.NO_FACE)
    if policy is FacePolicy.ONLY and len(detections) > 1:
        raise SampleRejectedError(RejectionReason.SEVERAL_FACES)
    chosen = max(detections, key=lambda detection: (detection.area, detection.score))
    if not eye_distance(chosen) >= min_eye_distance_pixels:
        raise SampleRejectedError(RejectionReason.TOO_SMALL)
    return chosen


def eye_distance(detection: Detection) -> float:
    """Pixels of the image between the two eyes."""
    return float(np.linalg.norm(detection.landmarks[1].astype(np.float64) - detection.landmarks[0]))
