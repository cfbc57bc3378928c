"""What became of each sample of an upload, and how much it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.calibration.quality_scale import QualityScale
from service.types import (
    Aggregation,
    Detection,
    EmbeddedSample,
    LeftOutSample,
    RejectedSample,
    RejectionReason,
    SampleOutcome,
    SampleReport,
)
from service.vision.comparison import compare_vectors

USED = "used"
REJECTED = "rejected"


def report_samples(
    upload: Sequence[str],
    outcomes: Sequence[SampleOutcome],
    groups: Sequence[int | None],
    aggregation: Aggregation | None,
    scale: QualityScale,
) -> tuple[SampleReport, ...]:
    """One line per uploaded sample, in the order of upload.

    `upload` holds digests; `outcomes` covers each distinct one, and `groups` is aligned with it; `aggregation` is over
    the embedded outcomes in their order.
    """
    lines: dict[str, SampleReport] = {}
    embedded = 0
    for outcome, group in zip(outcomes, groups, strict=True):
        match outcome:
            case RejectedSample():
                line = _rejected(outcome)
            case LeftOutSample(sample, reason):
                line = _rejected(_as_rejected(sample, reason))
            case EmbeddedSample():
                assert aggregation is not None  # noqa: S101  (`result_check`: whatever is embedded is aggregated)
                line = _used(outcome, aggregation, embedded)
                embedded += 1
        norm = line.feature_norm
        quality = None if norm is None else scale.of_sample(norm)
        lines[outcome.digest] = replace(line, group=group, quality=quality)
    return _in_order(upload, lines)


def reorder_reports(upload: Sequence[str], reports: Sequence[SampleReport]) -> tuple[SampleReport, ...]:
    """The same lines for another upload of the same distinct samples, in that upload's order."""
    lines: dict[str, SampleReport] = {}
    for report in reports:
        if report.reason is not RejectionReason.DUPLICATE:
            lines.setdefault(report.digest, report)
    return _in_order(upload, lines)


def _in_order(upload: Sequence[str], lines: Mapping[str, SampleReport]) -> tuple[SampleReport, ...]:
    seen: set[str] = set()
    reports: list[SampleReport] = []
    for index, digest in enumerate(upload):
        line = _rejected(RejectedSample(digest, RejectionReason.DUPLICATE)) if digest in seen else lines[digest]
        reports.append(replace(line, index=index))
        seen.add(digest)
    return tuple(reports)


def _used(outcome: EmbeddedSample, aggregation: Aggregation, place: int) -> SampleReport:
    face, core = outcome.face, aggregation.core_indices
    return SampleReport(
        index=0,
        digest=outcome.digest,
        status=USED,
        reason=None,
        box=face.detection.box,
        landmarks=_points(face.detection),
        detection_score=face.detection.score,
        face_quality=face.quality,
        feature_norm=face.embedding.norm,
        core_rank=core.index(place) if place in core else None,
        weight=aggregation.weights[place],
        seconds=face.seconds,
        change=None if aggregation.without is None else _change(aggregation.vector, aggregation.without[place]),
    )


def _change(template: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return max(0.0, 1.0 - compare_vectors(template, other))


def _as_rejected(sample: EmbeddedSample, reason: RejectionReason) -> RejectedSample:
    face = sample.face
    return RejectedSample(sample.digest, reason, face.detection, face.quality, face.embedding.norm)


def _rejected(outcome: RejectedSample) -> SampleReport:
    detection = outcome.detection
    return SampleReport(
        index=0,
        digest=outcome.digest,
        status=REJECTED,
        reason=outcome.reason,
        box=None if detection is None else detection.box,
        landmarks=None if detection is None else _points(detection),
        detection_score=None if detection is None else detection.score,
        face_quality=outcome.quality,
        feature_norm=outcome.feature_norm,
        core_rank=None,
        weight=0.0,
    )


def _points(detection: Detection) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in detection.landmarks)
