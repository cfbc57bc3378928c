"""What the settings mean for the pipeline. Free of decoders and networks: the API process reads it too."""

from __future__ import annotations

from service.calibration.quality_scale import QualityScale
from service.errors import SetupError
from service.pipeline.template_creation import CreationPolicy
from service.runtime.calibration import Calibration
from service.settings import Limits, Quality, Settings
from service.types import QualityLimits
from service.vision.consistency import ConsistencyLimits
from service.vision.sniffing import ImageLimits


def image_limits(limits: Limits) -> ImageLimits:
    """What one encoded image may announce."""
    return ImageLimits(
        max_pixels=int(limits.max_megapixels * 1_000_000),
        max_side=limits.max_side_pixels,
        max_jpeg_scans=limits.max_jpeg_scans,
        max_scan_megapixels=limits.max_scan_megapixels,
        max_decode_ms=limits.max_decode_ms,
        formats=limits.image_formats,
    )


def quality_limits(quality: Quality, scale: QualityScale) -> QualityLimits:
    """Raises `SetupError` where a sample quality is asked for and the pack has no scale."""
    min_norm = scale.feature_norm_at(quality.min_sample_quality)
    if min_norm is None:
        raise SetupError("COREFACE_QUALITY__MIN_SAMPLE_QUALITY is set, but the pack has no quality scale; unset it.")
    return QualityLimits(**quality.model_dump(exclude={"min_sample_quality"}), min_feature_norm=min_norm)


def consistency_limits(calibration: Calibration | None) -> ConsistencyLimits | None:
    """None: the pack cannot tell whether the faces of a set agree."""
    if calibration is None or calibration.consistency is None:
        return None
    return ConsistencyLimits(calibration.consistency.norms, calibration.consistency.cosines)


def quality_scale(calibration: Calibration | None) -> QualityScale:
    """Of a pack; one without a calibration knows no quality."""
    return QualityScale(None if calibration is None else calibration.quality_scale)


def creation_policy(settings: Settings, scale: QualityScale) -> CreationPolicy:
    """What an upload may cost, what its faces must reach, and how long its template lives. Raises `SetupError` where a
    quality is asked for that the pack has no scale for."""
    return CreationPolicy(
        max_samples=settings.limits.max_samples,
        max_template_samples=settings.limits.max_template_samples,
        max_sample_bytes=settings.limits.max_sample_bytes,
        image_limits=image_limits(settings.limits),
        min_eye_distance_pixels=settings.limits.min_eye_distance_pixels,
        quality_limits=quality_limits(settings.quality, scale),
        timeout_s=settings.limits.request_timeout_s,
        template_ttl_s=settings.retention.template_ttl_s,
    )
