"""The OpenAPI document: FastAPI's, with the bodies that are read as streams and the problem documents."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.answers import ProblemDocument
from service.api.bodies import (
    INCLUDE_LIST_PATTERN,
    SUBJECT_PATTERN,
    AddedSamplesBody,
    Include,
    PairsBody,
    ReferencesBody,
    TemplateBody,
    VerifyBody,
)
from service.api.idempotency import KEY_HEADER, KEY_PATTERN, MAX_KEY_LENGTH, REPLAYED_HEADER, is_final
from service.api.multipart_body import SAMPLES_FIELD
from service.errors import UnauthenticatedError
from service.types import ConsistencyPolicy, FacePolicy

_REFERENCES = "#/components/schemas/{model}"
_KEY_REFERENCE = {"$ref": f"#/components/parameters/{KEY_HEADER}"}
_REPLAYED_REFERENCE = {"$ref": f"#/components/headers/{REPLAYED_HEADER}"}

_SAMPLES: dict[str, Any] = {
    "type": "array",
    "description": "Images of one subject (JPEG, PNG, WebP or BMP): one part each, all of this name.",
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
}
_INCLUDE: dict[str, Any] = {
    "type": "string",
    "pattern": INCLUDE_LIST_PATTERN,
    "description": "Of " + ", ".join(f"`{include}`" for include in Include) + "; several with commas.",
}
_ADDING_FORM: dict[str, Any] = {
    "type": "object",
    "required": [SAMPLES_FIELD],
    "additionalProperties": False,
    "properties": {SAMPLES_FIELD: _SAMPLES, "include": _INCLUDE},
}
_TEMPLATE_FORM: dict[str, Any] = {
    **_ADDING_FORM,
    "properties": {
        **_ADDING_FORM["properties"],
        "face_policy": {"type": "string", "enum": [policy.value for policy in FacePolicy], "default": "largest"},
        "consistency_policy": {
            "type": "string",
            "enum": [policy.value for policy in ConsistencyPolicy],
            "default": "warn",
        },
        "subject": {"type": "string", "pattern": SUBJECT_PATTERN},
    },
}
_BODIES: dict[str, tuple[type[BaseModel], dict[str, Any] | None]] = {
    "/v1/templates": (TemplateBody, _TEMPLATE_FORM),
    "/v1/templates/{template_id}/samples": (AddedSamplesBody, _ADDING_FORM),
    "/v1/templates/{template_id}/report": (AddedSamplesBody, _ADDING_FORM),
    "/v1/verify": (VerifyBody, None),
    "/v1/verify/batch": (PairsBody, None),
    "/v1/verify/references": (ReferencesBody, None),
}
"""What the routes read as streams: JSON, and the form where there is one."""
_IDEMPOTENT = frozenset(_BODIES) - {"/v1/templates/{template_id}/report"}
"""The routes that heed an idempotency key."""
_KEY_PARAMETER: dict[str, Any] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Of your making, one for each request: who sends a request again gets the answer of the first time.",
    "schema": {"type": "string", "pattern": KEY_PATTERN, "maxLength": MAX_KEY_LENGTH},
}
_KEY_SCHEME = "ApiKey"
# Said here: what FastAPI has for it looks at the header of each request, which `api.access` does.
_API_KEY: dict[str, Any] = {
    "type": "http",
    "description": "`cf_...`, made by `coreface keys create`; not with loopback.",
    "scheme": "bearer",
}
_REPLAYED: dict[str, Any] = {
    "description": "`true`: this is the answer of the first time.",
    "schema": {"type": "string", "enum": ["true"]},
}


_TAGS = {
    "templates": "Sample sets become templates; what is kept is looked at, let expire, erased.",
    "subjects": "The templates of one person, by the caller's own name for the person.",
    "verification": "Two sides are compared at an operating point.",
    "packs": "What makes templates, and the thresholds that were measured for it.",
    "operation": "Health and metrics.",
}


def install_openapi(app: FastAPI) -> None:
    """Let `app.openapi()` answer the whole document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    # Where it was read from; a document knows no other place.
    document["servers"] = [{"url": "/"}]
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    components = document.setdefault("components", {})
    components["parameters"] = {KEY_HEADER: _KEY_PARAMETER}
    components["headers"] = {REPLAYED_HEADER: _REPLAYED}
    components["securitySchemes"] = {_KEY_SCHEME: _API_KEY}
    schemas = components.setdefault("schemas", {})
    _add_schema(schemas, ProblemDocument)
    # FastAPI adds its own form of a validation error to every route with a parameter; this service answers problems.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
            if str(UnauthenticatedError.status) in operation["responses"]:
                operation["security"] = [{_KEY_SCHEME: []}]
    for path, (model, form) in _BODIES.items():
        _add_schema(schemas, model)
        content = {"application/json": {"schema": {"$ref": _REFERENCES.format(model=model.__name__)}}}
        if form is not None:
            content = {"multipart/form-data": {"schema": form}, **content}
        operation = document["paths"][path]["post"]
        operation["requestBody"] = {"required": True, "content": content}
        if path in _IDEMPOTENT:
            operation.setdefault("parameters", []).append(_KEY_REFERENCE)
            for status, response in operation["responses"].items():
                if is_final(int(status)):
                    response["headers"] = {REPLAYED_HEADER: _REPLAYED_REFERENCE}
    _describe_tuples(schemas)
    return document


def _describe_tuples(node: Any) -> None:
    """Of equal values, as lists of so many: what reads `prefixItems` is rarer, and says less."""
    if isinstance(node, dict):
        values = node.get("prefixItems")
        if values and all(value == values[0] for value in values):
            node["items"] = node.pop("prefixItems")[0]
        for child in node.values():
            _describe_tuples(child)
    elif isinstance(node, list):
        for child in node:
            _describe_tuples(child)


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template=_REFERENCES)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
