"""/v1/verify: one 1:1 comparison, or many of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from fastapi import APIRouter, Depends, Request, Response

from service.access.callers import Caller, Scope
from service.api.access import CurrentCaller, allowing
from service.api.answers import BatchAnswer, VerifyAnswer
from service.api.bodies import PairsBody, ReferencesBody, ScoreDetail
from service.api.dependencies import Parts, TenantParts
from service.api.idempotency import idempotency_key, success
from service.api.problem_documentation import ACCESS_PROBLEMS, problems
from service.api.sides import described, known_id, side_of, stored_ids
from service.api.templates import KEY_ERRORS, UPLOAD_ERRORS
from service.api.uploads import read_json_body, read_verify_body
from service.api.verification_answers import batch_answer, count_set, verify_answer
from service.decisions import Comparison
from service.errors import (
    AuditUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    InvalidRequestError,
    InvalidSealedTemplateError,
    InvalidVectorError,
    RequestError,
    RequestTooLargeError,
    ScoreBudgetSpentError,
    SealedTemplateExpiredError,
    SlowRequestError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateLockedError,
    TemplateNotFoundError,
    UnknownOperatingPointError,
    UnsupportedContentTypeError,
    UnsupportedOperatingPointError,
    VerificationDelayedError,
)
from service.kept_answers import KeptAnswer
from service.observability.audit import Event
from service.observability.request_observation import note_samples
from service.pipeline.batch_verification import BatchVerification
from service.pipeline.verification import SampleSide, Side

_SIDE_ERRORS = (
    TemplateNotFoundError,
    TemplateErasedError,
    FingerprintMismatchError,
    InvalidVectorError,
    InvalidSealedTemplateError,
    SealedTemplateExpiredError,
    ScoreBudgetSpentError,
)
_POINT_ERRORS = (UnknownOperatingPointError, UnsupportedOperatingPointError)
_BATCH_ERRORS = (
    InvalidRequestError,
    SlowRequestError,
    RequestTooLargeError,
    UnsupportedContentTypeError,
    StoreUnavailableError,
    ScoreBudgetSpentError,
    AuditUnavailableError,
    DeadlineExceededError,
    InferenceFailedError,
    *_POINT_ERRORS,
)

Ids = tuple[str | None, str | None]
Asked = TypeVar("Asked")

_LOCKOUT_ERRORS = (VerificationDelayedError, TemplateLockedError)

router = APIRouter(prefix="/v1/verify", tags=["verification"], responses=ACCESS_PROBLEMS)


@router.post(
    "",
    response_model=VerifyAnswer,
    responses=problems(*UPLOAD_ERRORS, *KEY_ERRORS, *_SIDE_ERRORS, *_POINT_ERRORS, *_LOCKOUT_ERRORS),
    summary="Compare two sides",
    dependencies=[Depends(allowing(Scope.VERIFY))],
)
async def verify(request: Request, parts: Parts, caller: CurrentCaller) -> Response:
    """Reference against probe at one operating point. Sample sets sent here are not stored as templates.

    `match` is answered for a finite score at or above the threshold only; whatever fails is a problem document and
    never a decision.
    """
    key = idempotency_key(request)
    body = await read_verify_body(request, parts.limits)
    raw = body.explain or body.scores is ScoreDetail.RAW
    _check_raw(caller, raw)
    sides = reference, probe = [await side_of(side, key) for side in (body.reference, body.probe)]
    kept_ids = stored_ids(sides)

    async def work() -> KeptAnswer:
        await _spend(parts, caller, sides, raw)
        try:
            await parts.lockouts.check(kept_ids)
            with parts.metrics.counting_refused_sets():
                verification = await parts.verifier.verify(reference, probe, body.operating_point, explain=body.explain)
            await parts.lockouts.settle(kept_ids, is_match=verification.comparison.is_match)
        except _LOCKOUT_ERRORS as error:
            entry = {"template_ids": kept_ids, "code": error.code}
            parts.audit.note(request, caller, Event.VERIFICATION_REFUSED, entry)
            raise
        if body.explain:
            parts.metrics.decision_explained()
        ids = (known_id(parts.sealer, reference), known_id(parts.sealer, probe))
        _note_decisions(request, parts, caller, [(ids, verification.comparison)])
        return success(verify_answer(parts, verification, raw=raw), template_ids=kept_ids)

    return await parts.answers.answer(
        request,
        key,
        lambda: (described(reference), described(probe), body.operating_point, body.explain, body.scores),
        work,
    )


@router.post(
    "/batch",
    response_model=BatchAnswer,
    responses=problems(*_BATCH_ERRORS, *KEY_ERRORS),
    summary="Compare many pairs of templates",
    dependencies=[Depends(allowing(Scope.VERIFY_MANY))],
)
async def verify_batch(request: Request, parts: Parts, caller: CurrentCaller) -> Response:
    """Up to 1,000 pairs of template ids, each decided for itself. A pair with a template that is gone, or of another
    pack, has an `error` and no decision; the rest are answered."""
    key = idempotency_key(request)
    body = await read_json_body(request, parts.limits, PairsBody)
    raw = body.scores is ScoreDetail.RAW
    _check_raw(caller, raw)
    pairs = [(pair.reference, pair.probe) for pair in body.pairs]

    async def work() -> KeptAnswer:
        if raw:
            await parts.allowances.spend_raw_scores(caller, [each for pair in pairs for each in pair])
        verification = await parts.batch_verifier.verify_pairs(pairs, body.operating_point)
        decided = _decided(pairs, verification)
        _note_decisions(request, parts, caller, decided)
        answer = batch_answer(parts, verification, raw=raw)
        return success(answer, template_ids=[each for pair, _ in decided for each in pair])

    return await parts.answers.answer(request, key, lambda: (pairs, body.operating_point, body.scores), work)


@router.post(
    "/references",
    response_model=BatchAnswer,
    responses=problems(*UPLOAD_ERRORS, *_BATCH_ERRORS, *KEY_ERRORS, *_SIDE_ERRORS),
    summary="Compare one probe with several references",
    dependencies=[Depends(allowing(Scope.VERIFY_MANY))],
)
async def verify_references(request: Request, parts: Parts, caller: CurrentCaller) -> Response:
    """Up to 32 stored references against one probe, each decided for itself. This is verification, repeated: the chance
    of a false match grows with every reference, see `expected_false_matches`."""
    key = idempotency_key(request)
    body = await read_json_body(request, parts.limits, ReferencesBody)
    raw = body.scores is ScoreDetail.RAW
    _check_raw(caller, raw)
    references, probe = [await side_of(side, key) for side in body.references], await side_of(body.probe, key)

    async def work() -> KeptAnswer:
        await _spend(parts, caller, (*references, probe), raw)
        with parts.metrics.counting_refused_sets():
            verification = await parts.batch_verifier.verify_references(references, probe, body.operating_point)
        if verification.probe is not None:
            count_set(parts, verification.probe)
        decided = _decided(references, verification)
        probe_id = known_id(parts.sealer, probe)
        _note_decisions(
            request,
            parts,
            caller,
            [((known_id(parts.sealer, reference), probe_id), comparison) for reference, comparison in decided],
        )
        compared = [reference for reference, _ in decided]
        return success(batch_answer(parts, verification, raw=raw), template_ids=stored_ids((*compared, probe)))

    return await parts.answers.answer(
        request,
        key,
        lambda: (list(map(described, references)), described(probe), body.operating_point, body.scores),
        work,
    )


def _check_raw(caller: Caller, raw: bool) -> None:
    if raw:
        caller.require(Scope.SCORES_RAW)


async def _spend(parts: TenantParts, caller: Caller, sides: Iterable[Side], raw: bool) -> None:
    """Before anything is done for the sides: their images, and an exact score of each template."""
    images = sum(len(side.samples) for side in sides if isinstance(side, SampleSide))
    note_samples(images)
    await parts.allowances.spend_images(caller, images)
    if raw:
        ids = [template_id for side in sides if (template_id := known_id(parts.sealer, side)) is not None]
        await parts.allowances.spend_raw_scores(caller, ids)


def _decided(asked: Sequence[Asked], verification: BatchVerification) -> list[tuple[Asked, Comparison]]:
    """What was asked for, with its comparison; without what has an error instead."""
    return [
        (each, outcome.comparison)
        for each, outcome in zip(asked, verification.outcomes, strict=True)
        if not isinstance(outcome, RequestError)
    ]


def _note_decisions(
    request: Request, parts: TenantParts, caller: Caller, decided: Iterable[tuple[Ids, Comparison]]
) -> None:
    """`decided`: comparisons of templates with these ids (reference, probe)."""
    entries = [
        {
            "reference": reference,
            "probe": probe,
            "decision": "match" if comparison.is_match else "non_match",
            "operating_point": comparison.calibrated.operating_point.name,
            "fingerprint": parts.pack.fingerprint,
        }
        for (reference, probe), comparison in decided
    ]
    parts.audit.note(request, caller, Event.VERIFICATION_DECIDED, *entries)
