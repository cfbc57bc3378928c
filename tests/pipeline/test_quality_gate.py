from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.pipeline.quality_gate import admit_sample, refuse_face
from service.types import (
    Detection,
    EmbeddedSample,
    FaceQuality,
    HeadPose,
    QualityLimits,
    RejectedSample,
    RejectionReason,
)
from tests.pipeline.fakes import embed

DETECTION = Detection((0.0, 0.0, 50.0, 60.0), 0.8, np.zeros((5, 2), np.float32))
QUALITY = FaceQuality(10.0, 0.5, HeadPose(-30.0, 20.0))


def test_the_defaults_refuse_nothing() -> None:
    poor = FaceQuality(0.0, 0.0, HeadPose(-90.0, 180.0))
    assert refuse_face(DETECTION, poor, QualityLimits()) is None


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
    sample = embed("a", norm=9.0)
    assert admit_sample(sample, QualityLimits(min_feature_norm=9.0)) is sample
    refused = admit_sample(sample, QualityLimits(min_feature_norm=9.01))
    assert isinstance(refused, RejectedSample)
    assert (refused.reason, refused.feature_norm) == (RejectionReason.LOW_QUALITY, 9.0)
    assert refused.detection is sample.face.detection


def test_of_several_faces_those_that_pass_stay() -> None:
    poor, good, better = (embed(name, norm).face for name, norm in (("a", 5.0), ("b", 8.0), ("c", 9.0)))
    admitted = admit_sample(EmbeddedSample("a", poor, (good, better)), QualityLimits(min_feature_norm=7.0))
    assert isinstance(admitted, EmbeddedSample)
    assert admitted.face is good
    assert [id(face) for face in admitted.others] == [id(better)]
