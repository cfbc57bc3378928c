"""/v1/subjects: the templates of one person, by the caller's own name for the person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from service.access.callers import Scope
from service.api.access import CurrentCaller, allowing
from service.api.answers import SubjectAnswer, SubjectErasedAnswer, SubjectTemplateEntry, instant
from service.api.bodies import SUBJECT_PATTERN
from service.api.dependencies import Parts
from service.api.problem_documentation import ACCESS_PROBLEMS, problems
from service.errors import (
    AuditUnavailableError,
    InvalidRequestError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateNotFoundError,
)
from service.observability.audit import Event

SubjectName = Annotated[str, Path(pattern=SUBJECT_PATTERN, description="As sent with the samples.")]

router = APIRouter(
    prefix="/v1/subjects",
    tags=["subjects"],
    responses=ACCESS_PROBLEMS,
    dependencies=[Depends(allowing(Scope.TEMPLATES_WRITE))],
)


@router.get(
    "/{subject}", responses=problems(InvalidRequestError, StoreUnavailableError), summary="The templates of a subject"
)
async def list_subject(subject: SubjectName, parts: Parts) -> SubjectAnswer:
    """Those that live. A subject that is not known has none."""
    templates = await parts.store.list_subject(subject)
    return SubjectAnswer(
        subject=subject,
        count=len(templates),
        templates=[
            SubjectTemplateEntry(
                template_id=template.template_id,
                fingerprint=template.fingerprint,
                created_at=instant(template.created_at),
                expires_at=instant(template.expires_at),
                samples=len(template.sample_digests),
            )
            for template in templates
        ],
    )


@router.delete(
    "/{subject}",
    responses=problems(InvalidRequestError, StoreUnavailableError, AuditUnavailableError),
    summary="Erase a subject",
)
async def erase_subject(
    request: Request, subject: SubjectName, parts: Parts, caller: CurrentCaller
) -> SubjectErasedAnswer:
    """Every template of the subject, each as DELETE /v1/templates/{template_id} erases it. Sending it again erases what
    was made in between."""
    erased = 0
    for template in await parts.store.list_subject(subject):
        try:
            await parts.store.erase(template.template_id)
        except (TemplateErasedError, TemplateNotFoundError):
            continue  # gone in between
        erased += 1
        parts.audit.note(request, caller, Event.TEMPLATE_ERASED, {"template_id": template.template_id})
    parts.metrics.templates_erased(erased)
    return SubjectErasedAnswer(subject=subject, erased=erased)
