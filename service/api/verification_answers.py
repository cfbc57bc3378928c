"""From what a verification found to what is answered, and counted."""

from __future__ import annotations

from service.api.answers import (
    BatchAnswer,
    ContributionEntry,
    PairEntry,
    PairErrorEntry,
    SideAnswer,
    VerifyAnswer,
    sample_entry,
)
from service.api.dependencies import TenantParts
from service.errors import RequestError
from service.pipeline.batch_verification import BatchVerification, Outcome
from service.pipeline.verification import SideReport, Verification


def verify_answer(parts: TenantParts, verification: Verification, *, raw: bool) -> VerifyAnswer:
    calibrated = verification.comparison.calibrated
    point = calibrated.operating_point
    for report in (verification.reference, verification.probe):
        count_set(parts, report)
    answer = VerifyAnswer(
        decision="match" if verification.comparison.is_match else "non_match",
        band=calibrated.band,
        score=calibrated.score if raw else None,
        llr=calibrated.llr if raw else None,
        threshold=point.threshold,
        operating_point=point.name,
        fmr=point.fmr,
        threshold_interval=point.threshold_interval,
        fingerprint=verification.fingerprint,
        pad="not_performed",
        reference=_side_answer(verification.reference, calibrated.reference_level),
        probe=_side_answer(verification.probe, calibrated.probe_level),
    )
    parts.metrics.comparison_answered(point.name, answer.decision)
    return answer


def batch_answer(parts: TenantParts, verification: BatchVerification, *, raw: bool) -> BatchAnswer:
    results = [_pair_entry(outcome, raw=raw) for outcome in verification.outcomes]
    decided = [result for result in results if result.decision is not None]
    for result in decided:
        parts.metrics.comparison_answered(verification.operating_point, str(result.decision))
    for result in results:
        if result.error is not None:
            parts.metrics.pair_failed(result.error.code)
    return BatchAnswer(
        results=results,
        operating_point=verification.operating_point,
        fmr=verification.fmr,
        fingerprint=verification.fingerprint,
        pad="not_performed",
        matches=sum(result.decision == "match" for result in decided),
        expected_false_matches=verification.fmr * len(decided),
    )


def _pair_entry(outcome: Outcome, *, raw: bool) -> PairEntry:
    if isinstance(outcome, RequestError):
        return PairEntry(
            decision=None,
            band=None,
            score=None,
            llr=None,
            threshold=None,
            reference_consistent=None,
            probe_consistent=None,
            error=PairErrorEntry(code=outcome.code, detail=outcome.detail, side=outcome.side),
        )
    calibrated = outcome.comparison.calibrated
    return PairEntry(
        decision="match" if outcome.comparison.is_match else "non_match",
        band=calibrated.band,
        score=calibrated.score if raw else None,
        llr=calibrated.llr if raw else None,
        threshold=calibrated.operating_point.threshold,
        reference_consistent=outcome.reference.consistent,
        probe_consistent=outcome.probe.consistent,
        error=None,
    )


def _side_answer(report: SideReport, level: str) -> SideAnswer:
    samples = None if report.samples is None else [sample_entry(sample) for sample in report.samples]
    return SideAnswer(
        template_norm=report.template_norm,
        quality=report.quality,
        quality_level=level,
        consistent=report.consistent,
        samples=samples,
        contributions=_contributions(report),
    )


def _contributions(report: SideReport) -> list[ContributionEntry] | None:
    if report.contributions is None:
        return None
    entries = sorted(report.contributions, key=lambda entry: -abs(entry.score_change))
    return [ContributionEntry(digest=entry.digest, score_change=entry.score_change) for entry in entries]


def count_set(parts: TenantParts, report: SideReport) -> None:
    if report.fresh:
        parts.metrics.set_reported(report.samples or ())
