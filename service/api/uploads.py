"""From a request's body to what the pipeline takes, whatever the content type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from python_multipart.multipart import parse_options_header

from service.api.bodies import (
    MAX_REFERENCES,
    SUBJECT_PATTERN,
    AddedSamplesBody,
    DecodingContext,
    Include,
    TemplateBody,
    VerifyBody,
)
from service.api.json_body import JsonBody, JsonBodyReader
from service.api.multipart_body import MultipartBody, MultipartBodyReader
from service.api.problems import (
    MAX_REPORTED_FIELDS,
    FieldProblem,
    InvalidFieldsError,
    InvalidVectorFieldsError,
    json_pointer,
)
from service.api.request_body import read_body, refuse_by_headers
from service.errors import InvalidRequestError, UnsupportedContentTypeError
from service.observability.request_observation import note_samples
from service.offloading import off_loop
from service.settings import Limits
from service.types import ConsistencyPolicy, FacePolicy, SetPolicies

MULTIPART = b"multipart/form-data"
JSON = b"application/json"
_ADDING_FIELDS = frozenset({"include"})
_NUMBERS_AT_FAULT = frozenset({"finite_number", "too_short", "too_long", "greater_than"})
"""Types of pydantic's errors."""
_TEMPLATE_FIELDS = _ADDING_FIELDS | {"face_policy", "consistency_policy", "subject"}

_Body = TypeVar("_Body", bound=BaseModel)
_Upload = TypeVar("_Upload", "TemplateUpload", "AddedSamples")
_Policy = TypeVar("_Policy", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class TemplateUpload:
    samples: tuple[bytes, ...]
    policies: SetPolicies
    include: frozenset[Include]
    subject: str | None


@dataclass(frozen=True, slots=True)
class AddedSamples:
    samples: tuple[bytes, ...]
    include: frozenset[Include]


async def read_template_upload(request: Request, limits: Limits) -> TemplateUpload:
    """A sample set as multipart or JSON. Raises what `read_body`, the readers and the schema raise."""
    refuse_by_headers(request, limits)
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type == MULTIPART:
        return _noted(_from_form(await _read_multipart(request, options, limits, _TEMPLATE_FIELDS)))
    if content_type == JSON:
        body = validate_body(TemplateBody, await _read_json(request, limits, limits.max_samples), limits)
        policies = SetPolicies(body.face_policy, body.consistency_policy)
        return _noted(TemplateUpload(tuple(body.samples), policies, frozenset(body.include), body.subject))
    raise _unsupported_content_type()


async def read_added_samples(request: Request, limits: Limits) -> AddedSamples:
    """Further samples as multipart or JSON. Raises as `read_template_upload`."""
    refuse_by_headers(request, limits)
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type == MULTIPART:
        form = await _read_multipart(request, options, limits, _ADDING_FIELDS)
        return _noted(AddedSamples(form.samples, _form_include(form)))
    if content_type == JSON:
        body = validate_body(AddedSamplesBody, await _read_json(request, limits, limits.max_samples), limits)
        return _noted(AddedSamples(tuple(body.samples), frozenset(body.include)))
    raise _unsupported_content_type()


async def read_verify_body(request: Request, limits: Limits) -> VerifyBody:
    """Two sides as JSON. Raises what `read_body`, the reader and the schema raise."""
    refuse_by_headers(request, limits)
    if parse_options_header(request.headers.get("content-type"))[0] != JSON:
        raise UnsupportedContentTypeError("Send application/json.")
    return validate_body(VerifyBody, await _read_json(request, limits, 2 * limits.max_samples), limits)


async def read_json_body(request: Request, limits: Limits, model: type[_Body]) -> _Body:
    """Any JSON body with the samples of one set at most. Raises what `read_body`, the reader and the schema raise."""
    refuse_by_headers(request, limits)
    if parse_options_header(request.headers.get("content-type"))[0] != JSON:
        raise UnsupportedContentTypeError("Send application/json.")
    return validate_body(model, await _read_json(request, limits, limits.max_samples + MAX_REFERENCES), limits)


def validate_body(model: type[_Body], body: JsonBody, limits: Limits) -> _Body:
    """Raises `InvalidFieldsError` with a pointer to each wrong field, and `InvalidVectorFieldsError` where nothing is
    wrong but the numbers of a vector."""
    context = DecodingContext(body.lifted, limits.max_sample_bytes)
    try:
        return model.model_validate(body.document, context=context)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_context=False, include_input=False)
        fields = [FieldProblem(json_pointer(entry["loc"]), entry["msg"]) for entry in entries[:MAX_REPORTED_FIELDS]]
        if all(_is_of_vector(entry) for entry in entries):
            side: Literal["reference", "probe"] = "probe" if entries[0]["loc"][0] == "probe" else "reference"
            raise InvalidVectorFieldsError(
                "A vector holds finite numbers, one at least; its template norm is finite and above 0. See `errors`.",
                fields,
            ).at_side(side) from error
        raise InvalidFieldsError("The JSON body does not have the documented form; see `errors`.", fields) from error


def _is_of_vector(entry: ErrorDetails) -> bool:
    """Whether a vector or its norm is of the right form, but for its numbers."""
    names = set(entry["loc"]) & {"vector", "template_norm"}
    return bool(names) and entry["type"] in _NUMBERS_AT_FAULT


def _noted(upload: _Upload) -> _Upload:
    note_samples(len(upload.samples))
    return upload


async def _read_json(request: Request, limits: Limits, max_values: int) -> JsonBody:
    reader = JsonBodyReader(max_value_bytes=limits.max_sample_bytes, max_values=max_values)
    await read_body(request, reader, limits)
    return await off_loop(reader.size, reader.finish)


async def _read_multipart(
    request: Request, options: Mapping[bytes, bytes], limits: Limits, fields: frozenset[str]
) -> MultipartBody:
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequestError("The multipart content type has no boundary.")
    reader = MultipartBodyReader(
        boundary,
        allowed_fields=fields,
        max_sample_bytes=limits.max_sample_bytes,
        max_samples=limits.max_samples,
    )
    await read_body(request, reader, limits)
    return await off_loop(reader.size, reader.finish)


def _from_form(body: MultipartBody) -> TemplateUpload:
    policies = SetPolicies(
        _form_policy(body, "face_policy", FacePolicy.LARGEST),
        _form_policy(body, "consistency_policy", ConsistencyPolicy.WARN),
    )
    return TemplateUpload(body.samples, policies, _form_include(body), _form_subject(body))


def _form_policy(body: MultipartBody, name: str, default: _Policy) -> _Policy:
    policies = type(default)
    values = body.fields.get(name, (default.value,))
    if len(values) != 1 or values[0] not in set(policies):
        known = ", ".join(f"`{policy}`" for policy in policies)
        raise _invalid_field(name, f"Send one of {known}, once.")
    return policies(values[0])


def _form_subject(body: MultipartBody) -> str | None:
    values = body.fields.get("subject", ())
    if not values:
        return None
    if len(values) != 1 or re.fullmatch(SUBJECT_PATTERN, values[0]) is None:
        raise _invalid_field("subject", "Send up to 128 letters, digits and `._:@+-`, once.")
    return values[0]


def _form_include(body: MultipartBody) -> frozenset[Include]:
    parts = [part.strip(" ") for value in body.fields.get("include", ()) for part in value.split(",")]
    names = [part for part in parts if part]
    if not set(names) <= set(Include):
        known = ", ".join(f"`{include}`" for include in Include)
        raise _invalid_field("include", f"Send a list, with commas, of {known}.")
    return frozenset(Include(name) for name in names)


def _unsupported_content_type() -> UnsupportedContentTypeError:
    return UnsupportedContentTypeError(
        "Send multipart/form-data with the images in the field `samples`, or application/json with base64."
    )


def _invalid_field(name: str, detail: str) -> InvalidFieldsError:
    return InvalidFieldsError(f"The field `{name}` is not valid: {detail}", [FieldProblem(name, detail)])
