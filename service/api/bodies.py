"""What goes over the wire: pydantic, no logic. Inside values are made from these and turned into these here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.api.base64_stream import decode_base64
from service.types import ConsistencyPolicy, FacePolicy

MAX_VECTOR_WIDTH = 2048
MAX_MEMBERS = 16
MAX_PAIRS = 1000
MAX_REFERENCES = 32


class Include(StrEnum):
    """What a template answer may hold beside its report."""

    VECTOR = "vector"
    SEALED_TEMPLATE = "sealed_template"


_INCLUDED = f"(?: *(?:{'|'.join(Include)}) *| *)"
INCLUDE_LIST_PATTERN = f"^{_INCLUDED}(?:,{_INCLUDED})*$"
"""The same in a form: names with commas, blanks around them."""


class ScoreDetail(StrEnum):
    """How exactly a comparison is answered."""

    BANDED = "banded"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class DecodingContext:
    """What the base64 fields need: see `json_body`."""

    lifted: Mapping[str, bytes | None]
    max_value_bytes: int


def _decode(value: object, info: ValidationInfo) -> bytes:
    context = info.context
    if not isinstance(value, str) or not isinstance(context, DecodingContext):
        raise PydanticCustomError("base64", "Send a string of base64.")
    decoded = context.lifted[value] if value in context.lifted else decode_base64(value, context.max_value_bytes)
    if decoded is None:
        raise PydanticCustomError("base64", "This is not standard base64 (no data URL, no URL-safe alphabet).")
    return decoded


_BASE64_PATTERN = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
"""What is promised; line ends within are forgiven."""
Base64Bytes = Annotated[
    bytes,
    BeforeValidator(_decode),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "pattern": _BASE64_PATTERN}),
]
# Each wrong item makes an error: the first one is enough.
_SAMPLES = Field(fail_fast=True)
_NUMBER = Field(strict=True, allow_inf_nan=False)
_VECTOR = Field(fail_fast=True, min_length=1, max_length=MAX_VECTOR_WIDTH)
Text = Annotated[str, Field(max_length=256, pattern="^[ -~]*$")]
"""Ids and names that this service gave. ASCII, so that none is written in so many bytes that `json_body` would take it
for a sample."""
SUBJECT_PATTERN = r"^[A-Za-z0-9._:@+-]{1,128}$"
Subject = Annotated[str, Field(pattern=SUBJECT_PATTERN)]
"""The caller's own name for a person: nothing that could be taken for a path."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_crowds(cls, value: object) -> object:
        # One error is made per unknown member: a body of nothing else would cost more than it is worth.
        if isinstance(value, dict) and len(value) > MAX_MEMBERS:
            raise PydanticCustomError("too_many_members", "Too many members.")
        return value


class TemplateBody(_Body):
    """POST /v1/templates as JSON."""

    samples: list[Base64Bytes] = Field(fail_fast=True, description="Images of one subject, base64.")
    face_policy: FacePolicy = Field(FacePolicy.LARGEST, description="Which face of a sample is taken.")
    consistency_policy: ConsistencyPolicy = Field(
        ConsistencyPolicy.WARN, description="What becomes of faces that do not look like one person's."
    )
    include: list[Include] = Field(
        default=[], max_length=MAX_MEMBERS, description="What the answer holds beside the report."
    )
    subject: Subject | None = Field(None, description="Your own name for the person, to list and erase by.")


class AddedSamplesBody(_Body):
    """POST /v1/templates/{template_id}/samples as JSON."""

    samples: list[Base64Bytes] = Field(fail_fast=True, description="Further images of the subject, base64.")
    include: list[Include] = Field(
        default=[], max_length=MAX_MEMBERS, description="What the answer holds beside the report."
    )


_SIDE_KINDS: Mapping[str, tuple[str, ...]] = {
    "template_id": (),
    "vector": ("fingerprint", "template_norm"),
    "sealed_template": (),
    "samples": ("face_policy", "consistency_policy"),
}
"""What a side is given by -> what goes with it only."""


def _describe_kinds(schema: dict[str, Any]) -> None:
    """In the document a side is one of four objects: what `_check_kind` asks for."""
    properties = schema.pop("properties")
    del schema["additionalProperties"]
    schema["oneOf"] = [
        {
            "type": "object",
            "required": [kind],
            "properties": {
                # The member that names the kind is no null.
                kind: {**properties[kind]["anyOf"][0], "description": properties[kind]["description"]},
                **{name: properties[name] for name in companions},
            },
            "additionalProperties": False,
        }
        for kind, companions in _SIDE_KINDS.items()
    ]


class SideBody(_Body):
    """One side of a comparison: exactly one of `template_id`, `vector`, `sealed_template`, `samples`."""

    model_config = ConfigDict(json_schema_extra=_describe_kinds)

    template_id: Text | None = Field(None, description="A stored template.")
    vector: Annotated[list[Annotated[float, _NUMBER]], _VECTOR] | None = Field(
        None, description="A template's vector, of any length above 0."
    )
    fingerprint: Text | None = Field(None, description="With `vector`: the pack that made it; checked when given.")
    template_norm: Annotated[float, _NUMBER] | None = Field(
        None,
        gt=0,
        description="With `vector`: as answered with it. Unset: the vector is held to the strictest threshold.",
    )
    sealed_template: Base64Bytes | None = Field(None, description="As /v1/templates answered it, base64.")
    samples: Annotated[list[Base64Bytes], _SAMPLES] | None = Field(None, description="Images of one subject, base64.")
    face_policy: FacePolicy | None = Field(None, description="With `samples`: which face of a sample is taken.")
    consistency_policy: ConsistencyPolicy | None = Field(
        None, description="With `samples`: what becomes of faces that do not look like one person's."
    )

    @model_validator(mode="after")
    def _check_kind(self) -> SideBody:
        given = [kind for kind in _SIDE_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "side_kind", "Give exactly one of `template_id`, `vector`, `sealed_template` and `samples`."
            )
        for kind, companions in _SIDE_KINDS.items():
            for name in companions:
                if getattr(self, name) is not None and kind not in given:
                    raise PydanticCustomError("side_kind", f"`{name}` goes with `{kind}` only.")
        return self


_SCORES = Field(
    ScoreDetail.BANDED,
    description="`raw`: the exact score as well, which needs the scope `scores:raw` and is counted for each template.",
)


class VerifyBody(_Body):
    """POST /v1/verify."""

    reference: SideBody = Field(description="The stored side.")
    probe: SideBody = Field(description="The presented side.")
    operating_point: Text | None = Field(
        None, description="For example `fmr_1e-4`; unset: the pack's default. See /v1/packs/current."
    )
    explain: bool = Field(
        False,
        strict=True,
        description="Answer which samples carried the score; costs two more aggregations, and counts as `raw`.",
    )
    scores: ScoreDetail = _SCORES


class PairBody(_Body):
    reference: Text = Field(description="Template id.")
    probe: Text = Field(description="Template id.")


class PairsBody(_Body):
    """POST /v1/verify/batch."""

    pairs: Annotated[list[PairBody], Field(fail_fast=True, min_length=1, max_length=MAX_PAIRS)]
    operating_point: Text | None = Field(None, description="As for /v1/verify; one for all pairs.")
    scores: ScoreDetail = _SCORES


def _refuse_sample_set(side: SideBody) -> SideBody:
    if side.samples is not None:
        raise PydanticCustomError("side_kind", "A reference here is no sample set: make a template of it first.")
    return side


_Reference = Annotated[
    SideBody, AfterValidator(_refuse_sample_set), Field(json_schema_extra={"not": {"required": ["samples"]}})
]


class ReferencesBody(_Body):
    """POST /v1/verify/references."""

    references: Annotated[
        list[_Reference],
        Field(fail_fast=True, min_length=1, max_length=MAX_REFERENCES),
    ] = Field(description="Stored sides, none of them a sample set.")
    probe: SideBody = Field(description="The presented side, of any kind.")
    operating_point: Text | None = Field(None, description="As for /v1/verify; one for all references.")
    scores: ScoreDetail = _SCORES
