"""/v1/templates: create, list, look at, let expire, erase."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.access.callers import Caller, Scope
from service.api.access import CurrentCaller, allowing
from service.api.answers import (
    ExpiryAnswer,
    StoredTemplateAnswer,
    TemplateAnswer,
    TemplatesAnswer,
    encode_base64,
    instant,
    listed_template,
    sample_entry,
)
from service.api.bodies import Include
from service.api.dependencies import Parts, TenantParts, refuse_under_load
from service.api.disconnection import run_while_connected
from service.api.idempotency import digest_samples, idempotency_key, success
from service.api.problem_documentation import ACCESS_PROBLEMS, problems
from service.api.uploads import read_added_samples, read_template_upload
from service.errors import (
    AuditUnavailableError,
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
    QuotaExceededError,
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
from service.observability.audit import Event
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
    QuotaExceededError,
    InferenceFailedError,
    OutOfMemoryError,
    NotReadyError,
    StoreUnavailableError,
    AuditUnavailableError,
    DeadlineExceededError,
)
"""What a route that takes a sample set may answer."""
KEY_ERRORS = (InvalidIdempotencyKeyError, IdempotencyKeyReusedError)
"""The same of a route that takes an idempotency key."""
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{22}")

_WRITE = Depends(allowing(Scope.TEMPLATES_WRITE))

router = APIRouter(prefix="/v1/templates", tags=["templates"], responses=ACCESS_PROBLEMS)


@router.post(
    "",
    status_code=201,
    response_model=TemplateAnswer,
    responses={
        200: {"model": TemplateAnswer, "description": "Kept already"},
        **problems(*UPLOAD_ERRORS, *KEY_ERRORS, FingerprintMismatchError),
    },
    summary="Create a template from a sample set",
    dependencies=[_WRITE, Depends(refuse_under_load)],
)
async def create_template(request: Request, parts: Parts, caller: CurrentCaller) -> Response:
    """Images of one subject in, one template out, with what became of each image.

    201 for a new template, 200 when this very set was sent before and its template is still kept.
    """
    key = idempotency_key(request)
    upload = await read_template_upload(request, parts.limits)
    _check_export(caller, upload.include)
    digests = await digest_samples(key, upload.samples)

    async def work() -> KeptAnswer:
        await parts.allowances.spend_images(caller, len(upload.samples))
        with parts.metrics.counting_refused_sets():
            created = await parts.creator.create(
                upload.samples, upload.policies, digests=digests, subject=upload.subject
            )
        _note_created(request, parts, caller, created)
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
    dependencies=[_WRITE, Depends(refuse_under_load)],
)
async def add_samples(request: Request, template_id: str, parts: Parts, caller: CurrentCaller) -> Response:
    """A new template with an id of its own, the very one that all samples sent at once would make; the kept one stays
    as it is until it expires or is erased. 200 when that template is kept already."""
    known_template_id(template_id)
    key = idempotency_key(request)
    added = await read_added_samples(request, parts.limits)
    _check_export(caller, added.include)
    digests = await digest_samples(key, added.samples)

    async def work() -> KeptAnswer:
        await parts.allowances.spend_images(caller, len(added.samples))
        with parts.metrics.counting_refused_sets(added=len(added.samples)):
            created = await parts.creator.add(template_id, added.samples, digests=digests)
        _note_created(request, parts, caller, created)
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
    dependencies=[_WRITE, Depends(refuse_under_load)],
)
async def draw_template(request: Request, template_id: str, parts: Parts, caller: CurrentCaller) -> Response:
    """The samples sent again, in any order, come back as a picture: faces, landmarks, quality, core, weights. Nothing
    of them is kept."""
    known_template_id(template_id)
    sent = await read_added_samples(request, parts.limits)
    await parts.allowances.spend_images(caller, len(sent.samples))
    picture = await run_while_connected(request, parts.creator.draw(template_id, sent.samples))
    parts.metrics.picture_answered()
    return Response(picture, media_type="image/png")


@router.get(
    "",
    responses=problems(InvalidRequestError, StoreUnavailableError),
    summary="List templates",
    dependencies=[_WRITE],
)
async def list_templates(
    parts: Parts,
    cursor: Annotated[str, Query(pattern=r"^[0-9]{1,19}$", description="`next_cursor` of the page before.")] = "0",
    limit: Annotated[int, Query(ge=1, le=200, description="About how many at once.")] = 50,
) -> TemplatesAnswer:
    """Those of the caller's tenant, page by page, in no order. All that are there from the first page to the last are
    listed; one may come twice when others come and go meanwhile. A page may be empty and not the last."""
    templates, after = await parts.store.list_page(int(cursor), limit)
    return TemplatesAnswer(
        templates=[listed_template(template) for template in templates],
        next_cursor=str(after) if after else None,
    )


@router.put(
    "/{template_id}/expiry",
    responses=problems(
        InvalidRequestError, TemplateNotFoundError, TemplateErasedError, StoreUnavailableError, AuditUnavailableError
    ),
    summary="Let a template expire sooner",
    dependencies=[_WRITE],
)
async def expire_template(
    request: Request,
    template_id: str,
    parts: Parts,
    caller: CurrentCaller,
    seconds: Annotated[int, Query(ge=1, le=10**9, description="From now.")],
) -> ExpiryAnswer:
    """Its life ends in so many seconds, unless it would sooner: nothing is kept longer than was said when it was made.
    Sealed templates that were handed out keep their end."""
    template = await parts.store.expire(known_template_id(template_id), seconds)
    expires_at = instant(template.expires_at)
    entry = {"template_id": template_id, "expires_at": expires_at.isoformat()}
    parts.audit.note(request, caller, Event.TEMPLATE_EXPIRY_SET, entry)
    return ExpiryAnswer(template_id=template_id, expires_at=expires_at)


@router.get(
    "/{template_id}",
    responses=problems(TemplateNotFoundError, TemplateErasedError, StoreUnavailableError),
    summary="Look at a template",
    dependencies=[_WRITE],
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
    responses=problems(TemplateNotFoundError, TemplateErasedError, StoreUnavailableError, AuditUnavailableError),
    summary="Erase a template",
    dependencies=[_WRITE],
)
async def erase_template(request: Request, template_id: str, parts: Parts, caller: CurrentCaller) -> None:
    """The template and what was derived from its samples are erased; its id answers 410 from now on."""
    await parts.store.erase(known_template_id(template_id))
    parts.metrics.templates_erased(1)
    parts.audit.note(request, caller, Event.TEMPLATE_ERASED, {"template_id": template_id})


@router.delete(
    "/{template_id}/lock",
    status_code=204,
    response_class=Response,
    responses=problems(TemplateNotFoundError, TemplateErasedError, StoreUnavailableError, AuditUnavailableError),
    summary="Unlock a template",
    dependencies=[Depends(allowing(Scope.ADMIN))],
)
async def unlock_template(request: Request, template_id: str, parts: Parts, caller: CurrentCaller) -> None:
    """Failed verifications against it are forgotten, so that it can be verified again."""
    await parts.store.get(known_template_id(template_id))
    await parts.lockouts.unlock(template_id)
    parts.audit.note(request, caller, Event.TEMPLATE_UNLOCKED, {"template_id": template_id})


def known_template_id(template_id: str) -> str:
    """The id, if it has the form of one. Raises `TemplateNotFoundError`."""
    if _TEMPLATE_ID.fullmatch(template_id) is None:
        raise TemplateNotFoundError("There is no template with this id; it may have expired.")
    return template_id


def _check_export(caller: Caller, include: frozenset[Include]) -> None:
    if Include.VECTOR in include:
        caller.require(Scope.TEMPLATES_EXPORT)


def _note_created(request: Request, parts: TenantParts, caller: Caller, created: CreatedTemplate) -> None:
    template = created.template
    entry = {"template_id": template.template_id, "fingerprint": template.fingerprint, "cached": created.cached}
    parts.audit.note(request, caller, Event.TEMPLATE_CREATED, entry)


def _created_answer(parts: TenantParts, include: frozenset[Include], created: CreatedTemplate) -> KeptAnswer:
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


def template_answer(parts: TenantParts, include: frozenset[Include], created: CreatedTemplate) -> TemplateAnswer:
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
