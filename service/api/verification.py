"""/v1/verify: one 1:1 comparison."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.api.dependencies import Parts
from service.api.disconnection import run_while_connected
from service.api.problem_documentation import problems
from service.api.schemas import SideAnswer, SideBody, VerifyAnswer, sample_entry
from service.api.templates import UPLOAD_ERRORS, known_template_id
from service.api.uploads import read_verify_body
from service.errors import (
    FingerprintMismatchError,
    InvalidSealedTemplateError,
    InvalidVectorError,
    TemplateErasedError,
    TemplateNotFoundError,
    UnknownOperatingPointError,
    UnsupportedOperatingPointError,
)
from service.pipeline.verification import SampleSide, SealedSide, Side, SideReport, StoredSide, VectorSide
from service.types import FacePolicy

router = APIRouter(prefix="/v1/verify", tags=["verification"])


@router.post(
    "",
    responses=problems(
        *UPLOAD_ERRORS,
        TemplateNotFoundError,
        TemplateErasedError,
        FingerprintMismatchError,
        InvalidVectorError,
        InvalidSealedTemplateError,
        UnknownOperatingPointError,
        UnsupportedOperatingPointError,
    ),
    summary="Compare two sides",
)
async def verify(request: Request, parts: Parts) -> VerifyAnswer:
    """Reference against probe at one operating point. Sample sets sent here are not stored as templates.

    `match` is answered for a finite score at or above the threshold only; whatever fails is a problem document and
    never a decision.
    """
    body = await read_verify_body(request, parts.limits)
    verification = await run_while_connected(
        request, parts.verifier.verify(_side(body.reference), _side(body.probe), body.operating_point)
    )
    calibrated = verification.comparison.calibrated
    point = calibrated.operating_point
    for report in (verification.reference, verification.probe):
        parts.metrics.samples_reported(report.samples or ())
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


def _side(body: SideBody) -> Side:
    if body.template_id is not None:
        return StoredSide(known_template_id(body.template_id))
    if body.vector is not None:
        return VectorSide(tuple(body.vector), body.fingerprint, body.template_norm)
    if body.sealed_template is not None:
        return SealedSide(body.sealed_template)
    return SampleSide(tuple(body.samples or ()), body.face_policy or FacePolicy.LARGEST)


def _side_answer(report: SideReport, level: str) -> SideAnswer:
    samples = None if report.samples is None else [sample_entry(sample) for sample in report.samples]
    return SideAnswer(template_norm=report.template_norm, quality_level=level, samples=samples)
