"""Which samples are good enough: limits on what was measured of them."""

from __future__ import annotations

from service.types import Detection, FaceQuality, QualityLimits, RejectionReason


def refuse_face(detection: Detection, quality: FaceQuality, limits: QualityLimits) -> RejectionReason | None:
    """The first limit that the face breaks, before it is embedded. A value at its limit passes."""
    broken = (
        (RejectionReason.LOW_DETECTION_SCORE, detection.score < limits.min_detection_score),
        (RejectionReason.BLURRED, quality.sharpness < limits.min_sharpness),
        (RejectionReason.TOO_DARK, quality.brightness < limits.min_brightness),
        (RejectionReason.TOO_BRIGHT, quality.brightness > limits.max_brightness),
        (RejectionReason.TURNED_AWAY, abs(quality.pose.yaw) > limits.max_yaw_degrees),
        (RejectionReason.TILTED, abs(quality.pose.roll) > limits.max_roll_degrees),
    )
    return next((reason for reason, is_broken in broken if is_broken), None)


def refuse_norm(feature_norm: float, limits: QualityLimits) -> RejectionReason | None:
    """`low_quality` where the feature norm is below its limit."""
    return RejectionReason.LOW_QUALITY if feature_norm < limits.min_feature_norm else None
