"""/v1/verify: one 1:1 comparison, or many of them."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response

from service.api.answers import (
    BatchAnswer,
    ContributionEntry,
    PairEntry,
    PairErrorEntry,
    SideAnswer,
    VerifyAnswer,
    sample_entry,
)
from service.api.bodies import PairsBody, ReferencesBody, SideBody
from service.api.dependencies import Parts, ServiceParts
from service.api.idempotency import digest_samples, idempotency_key, success
from service.api.problem_documentation import problems
from service.api.templates import KEY_ERRORS, UPLOAD_ERRORS
from service.api.uploads import read_json_body, read_verify_body
from service.errors import (
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    InvalidRequestError,
    InvalidSealedTemplateError,
    InvalidVectorError,
    RequestError,
    RequestTooLargeError,
    SealedTemplateExpiredError,
    SlowRequestError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateNotFoundError,
    UnknownOperatingPointError,
    UnsupportedContentTypeError,
    UnsupportedOperatingPointError,
)
from service.kept_answers import KeptAnswer
from service.pipeline.batch_verification import BatchVerification, Outcome
from service.pipeline.set_keys import digest_sample
from service.pipeline.verification import (
    SampleSide,
    SealedSide,
    Side,
    SideReport,
    StoredSide,
    VectorSide,
    Verification,
)
from service.types import SetPolicies

_SIDE_ERRORS = (
    TemplateNotFoundError,
    TemplateErasedError,
    FingerprintMismatchError,
    InvalidVectorError,
    InvalidSealedTemplateError,
    SealedTemplateExpiredError,
)
_POINT_ERRORS = (UnknownOperatingPointError, UnsupportedOperatingPointError)
_BATCH_ERRORS = (
    InvalidRequestError,
    SlowRequestError,
    RequestTooLargeError,
    UnsupportedContentTypeError,
    StoreUnavailableError,
    DeadlineExceededError,
    InferenceFailedError,
    *_POINT_ERRORS,
)

router = APIRouter(prefix="/v1/verify", tags=["verification"])


@router.post(
    "",
    response_model=VerifyAnswer,
    responses=problems(*UPLOAD_ERRORS, *KEY_ERRORS, *_SIDE_ERRORS, *_POINT_ERRORS),
    summary="Compare two sides",
)
async def verify(request: Request, parts: Parts) -> Response:
    """Reference against probe at one operating point. Sample sets sent here are not stored as templates.

    `match` is answered for a finite score at or above the threshold only; whatever fails is a problem document and
    never a decision.
    """
    key = idempotency_key(request)
    body = await read_verify_body(request, parts.limits)
    reference, probe = [await _side(side, key) for side in (body.reference, body.probe)]

    async def work() -> KeptAnswer:
        with parts.metrics.counting_refused_sets():
            verification = await parts.verifier.verify(reference, probe, body.operating_point, explain=body.explain)
        if body.explain:
            parts.metrics.decision_explained()
        return success(_verify_answer(parts, verification), template_ids=_stored_ids((reference, probe)))

    return await parts.answers.answer(
        request, key, lambda: (_described(reference), _described(probe), body.operating_point, body.explain), work
    )


def _verify_answer(parts: ServiceParts, verification: Verification) -> VerifyAnswer:
    calibrated = verification.comparison.calibrated
    point = calibrated.operating_point
    for report in (verification.reference, verification.probe):
        _count_set(parts, report)
    answer = VerifyAnswer(
        decision="match" if verification.comparison.is_match else "non_match",
        score=calibrated.score,
        llr=calibrated.llr,
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


@router.post(
    "/batch",
    response_model=BatchAnswer,
    responses=problems(*_BATCH_ERRORS, *KEY_ERRORS),
    summary="Compare many pairs of templates",
)
async def verify_batch(request: Request, parts: Parts) -> Response:
    """Up to 1,000 pairs of template ids, each decided for itself. A pair with a template that is gone, or of another
    pack, has an `error` and no decision; the rest are answered."""
    key = idempotency_key(request)
    body = await read_json_body(request, parts.limits, PairsBody)
    pairs = [(pair.reference, pair.probe) for pair in body.pairs]

    async def work() -> KeptAnswer:
        verification = await parts.batch_verifier.verify_pairs(pairs, body.operating_point)
        compared = [
            pair
            for pair, outcome in zip(pairs, verification.outcomes, strict=True)
            if not isinstance(outcome, RequestError)
        ]
        return success(_batch_answer(parts, verification), template_ids=[each for pair in compared for each in pair])

    return await parts.answers.answer(request, key, lambda: (pairs, body.operating_point), work)


@router.post(
    "/references",
    response_model=BatchAnswer,
    responses=problems(*UPLOAD_ERRORS, *_BATCH_ERRORS, *KEY_ERRORS, *_SIDE_ERRORS),
    summary="Compare one probe with several references",
)
async def verify_references(request: Request, parts: Parts) -> Response:
    """Up to 32 stored references against one probe, each decided for itself. This is verification, repeated: the chance
    of a false match grows with every reference, see `expected_false_matches`."""
    key = idempotency_key(request)
    body = await read_json_body(request, parts.limits, ReferencesBody)
    references, probe = [await _side(side, key) for side in body.references], await _side(body.probe, key)

    async def work() -> KeptAnswer:
        with parts.metrics.counting_refused_sets():
            verification = await parts.batch_verifier.verify_references(references, probe, body.operating_point)
        if verification.probe is not None:
            _count_set(parts, verification.probe)
        compared = [
            reference
            for reference, outcome in zip(references, verification.outcomes, strict=True)
            if not isinstance(outcome, RequestError)
        ]
        return success(_batch_answer(parts, verification), template_ids=_stored_ids((*compared, probe)))

    return await parts.answers.answer(
        request, key, lambda: (list(map(_described, references)), _described(probe), body.operating_point), work
    )


def _count_set(parts: ServiceParts, report: SideReport) -> None:
    if report.fresh:
        parts.metrics.set_reported(report.samples or ())


def _batch_answer(parts: ServiceParts, verification: BatchVerification) -> BatchAnswer:
    results = [_pair_entry(outcome) for outcome in verification.outcomes]
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


def _pair_entry(outcome: Outcome) -> PairEntry:
    if isinstance(outcome, RequestError):
        return PairEntry(
            decision=None,
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
        score=calibrated.score,
        llr=calibrated.llr,
        threshold=calibrated.operating_point.threshold,
        reference_consistent=outcome.reference.consistent,
        probe_consistent=outcome.probe.consistent,
        error=None,
    )


async def _side(body: SideBody, key: str | None) -> Side:
    if body.template_id is not None:
        return StoredSide(body.template_id)
    if body.vector is not None:
        return VectorSide(tuple(body.vector), body.fingerprint, body.template_norm)
    if body.sealed_template is not None:
        return SealedSide(body.sealed_template)
    defaults = SetPolicies()
    policies = SetPolicies(body.face_policy or defaults.face, body.consistency_policy or defaults.consistency)
    samples = tuple(body.samples or ())
    return SampleSide(samples, policies, await digest_samples(key, samples))


def _described(side: Side) -> object:
    """What a request says of a side, with digests for bytes."""
    match side:
        case SampleSide(_, policies, digests):
            return (digests, policies)
        case SealedSide(data):
            return digest_sample(data)
        case _:
            return side


def _stored_ids(sides: Iterable[Side]) -> list[str]:
    return [side.template_id for side in sides if isinstance(side, StoredSide)]


def _contributions(report: SideReport) -> list[ContributionEntry] | None:
    if report.contributions is None:
        return None
    entries = sorted(report.contributions, key=lambda entry: -abs(entry.score_change))
    return [ContributionEntry(digest=entry.digest, score_change=entry.score_change) for entry in entries]


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
