"""How good a face is for recognition, measured on its pixels and landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.types import FaceQuality, HeadPose
from service.vision.alignment import ALIGNED_SIDE

_FACE = (slice(ALIGNED_SIDE // 4, ALIGNED_SIDE * 15 // 16), slice(ALIGNED_SIDE // 5, ALIGNED_SIDE * 4 // 5))
"""Rows and columns of the aligned crop that are skin and features, not hair and background."""
_MODEL_MM = np.array(
    [[-32.0, 35.0, -30.0], [32.0, 35.0, -30.0], [0.0, 0.0, 0.0], [-26.0, -35.0, -22.0], [26.0, -35.0, -22.0]]
)
"""A grown-up's landmarks, from the nose tip: x to the image's right, y up, z out of the face."""
_LEAST_SQUARES = np.linalg.pinv(_MODEL_MM - _MODEL_MM.mean(axis=0))


def measure_face(face_bgr: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> FaceQuality:
    """`face_bgr`: the aligned crop (112, 112, 3); `landmarks` (5, 2): pixels of the image that it was cut from."""
    grey = cv2.cvtColor(face_bgr, cv2.COLOR_BGR2GRAY)[_FACE]
    _, sharpness = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return FaceQuality(
        sharpness=float(sharpness[0, 0]),
        brightness=cv2.mean(grey)[0] / 255.0,
        pose=estimate_pose(landmarks),
    )


def estimate_pose(landmarks: NDArray[np.float32]) -> HeadPose:
    """Yaw and roll of the head from five landmarks (5, 2), by fitting an average head under scaled orthography
    (DeMenthon & Davis, IJCV 1995). Good to some ten degrees: faces differ. 0, 0 for points that fit no head."""
    seen = (landmarks.astype(np.float64) - landmarks.mean(axis=0)) * (1.0, -1.0)
    axes = (_LEAST_SQUARES @ seen).T  # (2, 3): the image's axes, in the head's coordinates
    lengths = np.linalg.norm(axes, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0.0)).all():
        return HeadPose(yaw=0.0, roll=0.0)
    left, _, right = np.linalg.svd(axes, full_matrices=False)
    across, up = left @ right  # the nearest orthonormal pair
    camera = np.cross(across, up)  # where it stands, seen from the head
    yaw = np.degrees(np.arctan2(-camera[0], camera[2]))
    roll = np.degrees(np.arctan2(across[1], up[1]))
    return HeadPose(yaw=float(yaw), roll=float(roll))
