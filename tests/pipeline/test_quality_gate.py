from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.pipeline.quality_gate import refuse_face, refuse_norm
from service.types import Detection, FaceQuality, HeadPose, QualityLimits, RejectionReason

DETECTION = Detection((0.0, 0.0, 50.0, 60.0), 0.8, np.zeros((5, 2), np.float32))
QUALITY = FaceQuality(10.0, 0.5, HeadPose(-30.0, 20.0))


def test_the_defaults_refuse_nothing() -> None:
    poor = FaceQuality(0.0, 0.0, HeadPose(-90.0, 180.0))
    assert refuse_face(DETECTION, poor, QualityLimits()) is None
    assert refuse_norm(1e-6, QualityLimits()) is None


@pytest.mark.parametrize(
    ("limit", "passing", "refusing", "reason"),
    [
        ("min_detection_score", 0.8, 0.81, RejectionReason.LOW_DETECTION_SCORE),
        ("min_sharpness", 10.0, 10.1, RejectionReason.BLURRED),
        ("min_brightness", 0.5, 0.51, RejectionReason.TOO_DARK),
        ("max_brightness", 0.5, 0.49, RejectionReason.TOO_BRIGHT),
        ("max_yaw_degrees", 30.0, 29.9, RejectionReason.TURNED_AWAY),
        ("max_roll_degrees", 20.0, 19.9, RejectionReason.TILTED),
    ],
)
def test_each_limit_refuses_with_its_reason(
    limit: str, passing: float, refusing: float, reason: RejectionReason
) -> None:
    def limits(value: float) -> QualityLimits:
        given: dict[str, Any] = {limit: value}
        return QualityLimits(**given)

    assert refuse_face(DETECTION, QUALITY, limits(passing)) is None
    assert refuse_face(DETECTION, QUALITY, limits(refusing)) is reason


def test_a_norm_at_the_limit_passes() -> None:
    assert refuse_norm(9.0, QualityLimits(min_feature_norm=9.0)) is None
    assert refuse_norm(8.99, QualityLimits(min_feature_norm=9.0)) is RejectionReason.LOW_QUALITY
