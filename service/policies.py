"""What the settings mean for the pipeline. Free of decoders and networks: the API process reads it too."""

from __future__ import annotations

from service.pipeline.template_creation import CreationPolicy
from service.settings import Limits, Settings
from service.types import QualityLimits
from service.vision.sniffing import ImageLimits


def image_limits(limits: Limits) -> ImageLimits:
    """What one encoded image may announce."""
    return ImageLimits(
        max_pixels=int(limits.max_megapixels * 1_000_000),
        max_side=limits.max_side_pixels,
        max_jpeg_scans=limits.max_jpeg_scans,
        max_scan_megapixels=limits.max_scan_megapixels,
    )


def creation_policy(settings: Settings) -> CreationPolicy:
    """What an upload may cost, and how long its template lives."""
    return CreationPolicy(
        max_samples=settings.limits.max_samples,
        max_sample_bytes=settings.limits.max_sample_bytes,
        image_limits=image_limits(settings.limits),
        min_eye_distance_pixels=settings.limits.min_eye_distance_pixels,
        quality_limits=QualityLimits(**settings.quality.model_dump()),
        timeout_s=settings.limits.request_timeout_s,
        template_ttl_s=settings.retention.template_ttl_s,
    )
