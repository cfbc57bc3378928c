"""Which samples are good enough: limits on what was measured of them."""

from __future__ import annotations

from dataclasses import replace

from service.types import (
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    FaceQuality,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    SampleOutcome,
)


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


def admit_sample(sample: EmbeddedSample, limits: QualityLimits) -> SampleOutcome:
    """The sample with those of its faces that break no limit; rejected where all do. One that was embedded under looser
    limits may be."""
    faces = (sample.face, *sample.others)
    admitted = tuple(face for face in faces if _refusal(face, limits) is None)
    if len(admitted) == len(faces):
        return sample
    if admitted:
        return replace(sample, face=admitted[0], others=admitted[1:])
    face = sample.face
    reason = _refusal(face, limits)
    assert reason is not None  # noqa: S101  (it is not among the admitted)
    return RejectedSample(sample.digest, reason, face.detection, face.quality, face.embedding.norm)


def _refusal(face: EmbeddedFace, limits: QualityLimits) -> RejectionReason | None:
    if face.embedding.norm < limits.min_feature_norm:
        return refuse_face(face.detection, face.quality, limits) or RejectionReason.LOW_QUALITY
    return refuse_face(face.detection, face.quality, limits)
