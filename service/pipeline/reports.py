"""What became of each sample of an upload, and how much it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.types import (
    Aggregation,
    Detection,
    EmbeddedSample,
    RejectedSample,
    RejectionReason,
    SampleOutcome,
    SampleReport,
)

USED = "used"
REJECTED = "rejected"


def report_samples(
    upload: Sequence[str], outcomes: Sequence[SampleOutcome], aggregation: Aggregation | None
) -> tuple[SampleReport, ...]:
    """One line per uploaded sample, in the order of upload.

    `upload` holds digests; `outcomes` covers each distinct one; `aggregation` is over the embedded outcomes in
    their order.
    """
    embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedSample)]
    lines: dict[str, SampleReport] = {
        outcome.digest: _rejected(outcome) for outcome in outcomes if isinstance(outcome, RejectedSample)
    }
    if aggregation is not None:
        ranks = {index: rank for rank, index in enumerate(aggregation.core_indices)}
        for index, outcome in enumerate(embedded):
            lines[outcome.digest] = _used(outcome, ranks.get(index), aggregation.weights[index])
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


def _used(outcome: EmbeddedSample, core_rank: int | None, weight: float) -> SampleReport:
    return SampleReport(
        index=0,
        digest=outcome.digest,
        status=USED,
        reason=None,
        box=outcome.detection.box,
        landmarks=_points(outcome.detection),
        detection_score=outcome.detection.score,
        face_quality=outcome.quality,
        feature_norm=outcome.embedding.norm,
        core_rank=core_rank,
        weight=weight,
    )


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
