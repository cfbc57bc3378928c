"""/v1/templates: create, look at, erase."""

from __future__ import annotations

import re

from fastapi import APIRouter, Depends, Request, Response

from service.api.answers import StoredTemplateAnswer, TemplateAnswer, encode_base64, instant, sample_entry
from service.api.bodies import Include
from service.api.dependencies import Parts, ServiceParts, refuse_under_load
from service.api.disconnection import run_while_connected
from service.api.idempotency import digest_samples, idempotency_key, success
from service.api.problem_documentation import problems
from service.api.uploads import read_added_samples, read_template_upload
from service.errors import (
    ConsistencyUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    IdempotencyKeyReusedError,
    InconsistentSetError,
    InferenceFailedError,
    InvalidIdempotencyKeyError,
    InvalidRequestError,
    NoSamplesError,
    NotReadyError,
    NoUsableSampleError,
    OutOfMemoryError,
    OverloadedError,
    RequestTooLargeError,
    SamplesMismatchError,
    SetQuarantinedError,
    SlowRequestError,
    StoreUnavailableError,
    TemplateErasedError,
    TemplateNotFoundError,
    TooManySamplesError,
    UnsupportedContentTypeError,
)
from service.kept_answers import KeptAnswer
from service.pipeline.template_creation import CreatedTemplate

UPLOAD_ERRORS = (
    InvalidRequestError,
    SlowRequestError,
    RequestTooLargeError,
    TooManySamplesError,
    UnsupportedContentTypeError,
    NoSamplesError,
    NoUsableSampleError,
    ConsistencyUnavailableError,
    InconsistentSetError,
    SetQuarantinedError,
    OverloadedError,
    InferenceFailedError,
    OutOfMemoryError,
    NotReadyError,
    StoreUnavailableError,
    DeadlineExceededError,
)
"""What a route that takes a sample set may answer."""
KEY_ERRORS = (InvalidIdempotencyKeyError, IdempotencyKeyReusedError)
"""The same of a route that takes an idempotency key."""
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{22}")

router = APIRouter(prefix="/v1/templates", tags=["templates"])


@router.post(
    "",
    status_code=201,
    response_model=TemplateAnswer,
    responses={
        200: {"model": TemplateAnswer, "description": "Kept already"},
        **problems(*UPLOAD_ERRORS, *KEY_ERRORS, FingerprintMismatchError),
    },
    summary="Create a template from a sample set",
    dependencies=[Depends(refuse_under_load)],
)
async def create_template(request: Request, parts: Parts) -> Response:
    """Images of one subject in, one template out, with what became of each image.

    201 for a new template, 200 when this very set was sent before and its template is still kept.
    """
    key = idempotency_key(request)
    upload = await read_template_upload(request, parts.limits)
    digests = await digest_samples(key, upload.samples)

    async def work() -> KeptAnswer:
        with parts.metrics.counting_refused_sets():
            created = await parts.creator.create(
                upload.samples, upload.policies, digests=digests, subject=upload.subject
            )
        return _created_answer(parts, upload.include, created)

    return await parts.answers.answer(
        request, key, lambda: (digests, upload.policies, sorted(upload.include), upload.subject), work
    )


@router.post(
    "/{template_id}/samples",
    status_code=201,
    response_model=TemplateAnswer,
    responses={
        200: {"model": TemplateAnswer, "description": "Kept already"},
        **problems(*UPLOAD_ERRORS, *KEY_ERRORS, FingerprintMismatchError, TemplateNotFoundError, TemplateErasedError),
    },
    summary="Make a template from a kept one and further samples",
    dependencies=[Depends(refuse_under_load)],
)
async def add_samples(request: Request, template_id: str, parts: Parts) -> Response:
    """A new template with an id of its own, the very one that all samples sent at once would make; the kept one stays
    as it is until it expires or is erased. 200 when that template is kept already."""
    known_template_id(template_id)
    key = idempotency_key(request)
    added = await read_added_samples(request, parts.limits)
    digests = await digest_samples(key, added.samples)

    async def work() -> KeptAnswer:
        with parts.metrics.counting_refused_sets(added=len(added.samples)):
            created = await parts.creator.add(template_id, added.samples, digests=digests)
        return _created_answer(parts, added.include, created)

    return await parts.answers.answer(request, key, lambda: (digests, sorted(added.include)), work)


@router.post(
    "/{template_id}/report",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}}, "description": "The report"},
        **problems(
            *(error for error in UPLOAD_ERRORS if error not in (NoUsableSampleError, InconsistentSetError)),
            FingerprintMismatchError,
            SamplesMismatchError,
            TemplateNotFoundError,
            TemplateErasedError,
        ),
    },
    summary="A picture of a template's samples",
    dependencies=[Depends(refuse_under_load)],
)
async def draw_template(request: Request, template_id: str, parts: Parts) -> Response:
    """The samples sent again, in any order, come back as a picture: faces, landmarks, quality, core, weights. Nothing
    of them is kept."""
    known_template_id(template_id)
    sent = await read_added_samples(request, parts.limits)
    picture = await run_while_connected(request, parts.creator.draw(template_id, sent.samples))
    parts.metrics.picture_answered()
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})


@router.get(
    "/{template_id}",
    responses=problems(TemplateNotFoundError, TemplateErasedError, StoreUnavailableError),
    summary="Look at a template",
)
async def get_template(template_id: str, parts: Parts) -> StoredTemplateAnswer:
    """What is known of a kept template. The vector itself is answered at creation only."""
    template = await parts.store.get(known_template_id(template_id))
    return StoredTemplateAnswer(
        template_id=template.template_id,
        fingerprint=template.fingerprint,
        created_at=instant(template.created_at),
        expires_at=instant(template.expires_at),
        template_norm=template.norm,
        quality=template.quality,
        consistent=template.is_consistent,
        subject=template.subject,
        samples=[sample_entry(report) for report in template.reports],
    )


@router.delete(
    "/{template_id}",
    status_code=204,
    response_class=Response,
    responses=problems(TemplateNotFoundError, TemplateErasedError, StoreUnavailableError),
    summary="Erase a template",
)
async def erase_template(template_id: str, parts: Parts) -> None:
    """The template and what was derived from its samples are erased; its id answers 410 from now on."""
    await parts.store.erase(known_template_id(template_id))
    parts.metrics.templates_erased(1)


def known_template_id(template_id: str) -> str:
    """The id, if it has the form of one. Raises `TemplateNotFoundError`."""
    if _TEMPLATE_ID.fullmatch(template_id) is None:
        raise TemplateNotFoundError("There is no template with this id; it may have expired.")
    return template_id


def _created_answer(parts: ServiceParts, include: frozenset[Include], created: CreatedTemplate) -> KeptAnswer:
    parts.metrics.stages_timed(created.stage_seconds)
    if created.cached:
        parts.metrics.template_answered("cache", None)
    else:
        parts.metrics.template_answered("added" if created.added_to else "engine", created.template.quality)
        parts.metrics.set_reported(created.reports, known=created.added_to)
    template_id = created.template.template_id
    return success(
        template_answer(parts, include, created),
        status=200 if created.cached else 201,
        location=f"/v1/templates/{template_id}",
        template_ids=[template_id],
    )


def template_answer(parts: ServiceParts, include: frozenset[Include], created: CreatedTemplate) -> TemplateAnswer:
    template = created.template
    answer = TemplateAnswer(
        template_id=template.template_id,
        cached=created.cached,
        fingerprint=template.fingerprint,
        created_at=instant(template.created_at),
        expires_at=instant(template.expires_at),
        template_norm=template.norm,
        quality=template.quality,
        consistent=template.is_consistent,
        subject=template.subject,
        samples=[sample_entry(report) for report in created.reports],
    )
    if Include.VECTOR in include:
        answer.vector = template.vector.tolist()
    if Include.SEALED_TEMPLATE in include:
        answer.sealed_template = encode_base64(parts.sealer.seal(template))
    return answer
