"""Which of the faces found in a sample is its subject's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.errors import SampleRejectedError
from service.types import Detection, FacePolicy, RejectionReason

MOST_CANDIDATES = 8
"""Faces of one picture that may be the subject's under the policy `consistent`: what a group picture may cost."""


def choose_face(
    detections: Sequence[Detection],
    policy: FacePolicy,
    min_eye_distance_pixels: float,
    *,
    image_size: tuple[int, ...],
) -> Detection:
    """The face by a policy that looks at one picture alone (not `consistent`); among equals the one with the higher
    score, then the earlier one.

    `image_size`: height and width in pixels. Raises `SampleRejectedError`: `no_face`, `several_faces` (policy
    `only`), `too_small` where the eyes of the chosen face are closer together than `min_eye_distance_pixels`.
    """
    if not detections:
        raise SampleRejectedError(RejectionReason.NO_FACE)
    if policy is FacePolicy.ONLY and len(detections) > 1:
        raise SampleRejectedError(RejectionReason.SEVERAL_FACES)
    if policy is FacePolicy.CENTRAL:
        chosen = min(detections, key=lambda detection: (_distance_from_middle(detection, image_size), -detection.score))
    else:
        chosen = max(detections, key=lambda detection: (detection.area, detection.score))
    if not eye_distance(chosen) >= min_eye_distance_pixels:
        raise SampleRejectedError(RejectionReason.TOO_SMALL)
    return chosen


def candidate_faces(detections: Sequence[Detection], min_eye_distance_pixels: float) -> list[Detection]:
    """The usable faces, the largest first, at most `MOST_CANDIDATES`. Raises `SampleRejectedError`: `no_face`,
    `too_small` where none is usable."""
    if not detections:
        raise SampleRejectedError(RejectionReason.NO_FACE)
    usable = [detection for detection in detections if eye_distance(detection) >= min_eye_distance_pixels]
    if not usable:
        raise SampleRejectedError(RejectionReason.TOO_SMALL)
    return sorted(usable, key=lambda detection: (-detection.area, -detection.score))[:MOST_CANDIDATES]


def eye_distance(detection: Detection) -> float:
    """Pixels of the image between the two eyes."""
    return float(np.linalg.norm(detection.landmarks[1].astype(np.float64) - detection.landmarks[0]))


def _distance_from_middle(detection: Detection, image_size: tuple[int, ...]) -> float:
    """Pixels, squared."""
    x1, y1, x2, y2 = detection.box
    height, width = image_size
    return ((x1 + x2 - width) / 2) ** 2 + ((y1 + y2 - height) / 2) ** 2
