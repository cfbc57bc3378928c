"""The OpenAPI document: FastAPI's, with the bodies that are read as streams and the problem documents."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.multipart_body import SAMPLES_FIELD
from service.api.schemas import Include, ProblemDocument, TemplateBody, VerifyBody
from service.types import ConsistencyPolicy, FacePolicy

_REFERENCES = "#/components/schemas/{model}"

_MULTIPART_TEMPLATE: dict[str, Any] = {
    "type": "object",
    "required": [SAMPLES_FIELD],
    "additionalProperties": False,
    "properties": {
        SAMPLES_FIELD: {
            "type": "array",
            "description": "Images of one subject (JPEG, PNG, WebP or BMP): one part each, all of this name.",
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        },
        "face_policy": {"type": "string", "enum": [policy.value for policy in FacePolicy], "default": "largest"},
        "consistency_policy": {
            "type": "string",
            "enum": [policy.value for policy in ConsistencyPolicy],
            "default": "warn",
        },
        "include": {
            "type": "string",
            "description": "Of " + ", ".join(f"`{include}`" for include in Include) + "; several with commas.",
        },
    },
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
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (TemplateBody, VerifyBody, ProblemDocument):
        _add_schema(schemas, model)
    # FastAPI adds its own form of a validation error to every route with a parameter; this service answers problems.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
    document["paths"]["/v1/templates"]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _MULTIPART_TEMPLATE},
            "application/json": {"schema": {"$ref": _REFERENCES.format(model=TemplateBody.__name__)}},
        },
    }
    document["paths"]["/v1/verify"]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": _REFERENCES.format(model=VerifyBody.__name__)}}},
    }
    return document


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template=_REFERENCES)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
