"""What goes over the wire: pydantic, no logic. Inside values are made from these and turned into these here."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
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
from service.types import ConsistencyPolicy, FacePolicy, RejectionReason, SampleReport

MAX_VECTOR_WIDTH = 2048
MAX_MEMBERS = 16
MAX_PAIRS = 1000
MAX_REFERENCES = 32


class Include(StrEnum):
    """What a template answer may hold beside its report."""

    VECTOR = "vector"
    SEALED_TEMPLATE = "sealed_template"


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


Base64Bytes = Annotated[
    bytes, BeforeValidator(_decode), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]
# Each wrong item makes an error: the first one is enough.
_SAMPLES = Field(fail_fast=True)
_NUMBER = Field(strict=True, allow_inf_nan=False)
_VECTOR = Field(fail_fast=True, min_length=1, max_length=MAX_VECTOR_WIDTH)
Text = Annotated[str, Field(max_length=256)]


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


class SideBody(_Body):
    """One side of a comparison: exactly one of `template_id`, `vector`, `sealed_template`, `samples`."""

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
        kinds = (self.template_id, self.vector, self.sealed_template, self.samples)
        if sum(kind is not None for kind in kinds) != 1:
            raise PydanticCustomError(
                "side_kind", "Give exactly one of `template_id`, `vector`, `sealed_template` and `samples`."
            )
        if self.fingerprint is not None and self.vector is None:
            raise PydanticCustomError("side_kind", "`fingerprint` goes with `vector` only.")
        if self.template_norm is not None and self.vector is None:
            raise PydanticCustomError("side_kind", "`template_norm` goes with `vector` only.")
        if self.face_policy is not None and self.samples is None:
            raise PydanticCustomError("side_kind", "`face_policy` goes with `samples` only.")
        if self.consistency_policy is not None and self.samples is None:
            raise PydanticCustomError("side_kind", "`consistency_policy` goes with `samples` only.")
        return self


class VerifyBody(_Body):
    """POST /v1/verify."""

    reference: SideBody = Field(description="The stored side.")
    probe: SideBody = Field(description="The presented side.")
    operating_point: Text | None = Field(
        None, description="For example `fmr_1e-4`; unset: the pack's default. See /v1/packs/current."
    )


class PairBody(_Body):
    reference: Text = Field(description="Template id.")
    probe: Text = Field(description="Template id.")


class PairsBody(_Body):
    """POST /v1/verify/batch."""

    pairs: Annotated[list[PairBody], Field(fail_fast=True, min_length=1, max_length=MAX_PAIRS)]
    operating_point: Text | None = Field(None, description="As for /v1/verify; one for all pairs.")


class ReferencesBody(_Body):
    """POST /v1/verify/references."""

    references: Annotated[list[SideBody], Field(fail_fast=True, min_length=1, max_length=MAX_REFERENCES)] = Field(
        description="Stored sides, none of them a sample set."
    )
    probe: SideBody = Field(description="The presented side, of any kind.")
    operating_point: Text | None = Field(None, description="As for /v1/verify; one for all references.")

    @model_validator(mode="after")
    def _refuse_sample_sets(self) -> ReferencesBody:
        if any(side.samples is not None for side in self.references):
            raise PydanticCustomError("side_kind", "A reference here is no sample set: make a template of it first.")
        return self


class SampleEntry(BaseModel):
    """What became of one sample."""

    index: int = Field(description="Place in the upload, from 0.")
    status: Literal["used", "rejected"]
    reason: RejectionReason | None = Field(description="Why it was rejected.")
    box: tuple[float, float, float, float] | None = Field(description="x1, y1, x2, y2, pixels of the upright image.")
    landmarks: list[tuple[float, float]] | None = Field(
        description="Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner, pixels."
    )
    detection_score: float | None = Field(description="0..1.")
    eye_distance: float | None = Field(description="Between the eyes, pixels of the upright image.")
    sharpness: float | None = Field(description="Deviation of the Laplacian of the aligned face, grey levels of 255.")
    brightness: float | None = Field(description="Mean luminance of the face, 0..1.")
    yaw: float | None = Field(description="Degrees; positive: turned to the image's right.")
    roll: float | None = Field(description="Degrees; positive: leaning to the image's right.")
    feature_norm: float | None = Field(description="Length of the embedding; tracks quality.")
    quality: float | None = Field(description="The feature norm on the pack's scale, 0..100; null: no scale.")
    group: int | None = Field(
        description="0: looks like most of the set; 1, 2, ...: faces that do not; null: no face, or not known."
    )
    core_rank: int | None = Field(description="0 for the first core sample picked; null outside the core.")
    weight: float = Field(description="Share in the template, 0..1.")


class TemplateAnswer(BaseModel):
    template_id: str
    cached: bool = Field(description="Whether the template was already kept for this very set.")
    fingerprint: str = Field(description="The pack that made it; templates of different packs are never compared.")
    created_at: datetime
    expires_at: datetime
    template_norm: float = Field(description="Length of the template before normalisation; tracks quality.")
    quality: float | None = Field(description="The template norm on the pack's scale, 0..100; null: no scale.")
    consistent: bool | None = Field(
        description="Whether all faces of the upload look like one person's; null: the pack cannot tell."
    )
    samples: list[SampleEntry]
    vector: list[float] = Field(default=[], description="With `include=vector`: unit length.")
    sealed_template: str = Field(
        default="", description="With `include=sealed_template`: encrypted and authenticated, base64."
    )


class StoredTemplateAnswer(BaseModel):
    template_id: str
    fingerprint: str
    created_at: datetime
    expires_at: datetime
    template_norm: float
    quality: float | None
    consistent: bool | None
    samples: list[SampleEntry] = Field(description="As answered to the upload that made it.")


class SideAnswer(BaseModel):
    template_norm: float | None = Field(description="Null for a vector that was sent without one.")
    quality: float | None = Field(description="The template norm on the pack's scale, 0..100; null: not known.")
    quality_level: str = Field(description="Of the template, by its norm; see /v1/packs/current. `unknown` without.")
    consistent: bool | None = Field(
        description="For a sample set: whether all its faces look like one person's; null: not known."
    )
    samples: list[SampleEntry] | None = Field(description="For a sample set.")


class VerifyAnswer(BaseModel):
    decision: Literal["match", "non_match"]
    score: float = Field(description="Cosine, -1..1; higher is more alike.")
    llr: float = Field(
        description="Natural logarithm of the likelihood ratio: how much likelier this score is for one person than "
        "for two, at this quality. Measured apart from the threshold."
    )
    threshold: float = Field(description="Scores at or above it match; that of the two sides' quality levels.")
    operating_point: str
    fmr: float = Field(description="The false match rate that the threshold was measured at.")
    threshold_interval: tuple[float, float] = Field(description="95 % interval of the threshold.")
    fingerprint: str
    pad: Literal["not_performed"] = Field(description="Presentation-attack detection: never part of this answer.")
    reference: SideAnswer
    probe: SideAnswer


class PairErrorEntry(BaseModel):
    code: str
    detail: str
    side: Literal["reference", "probe"] | None


class PairEntry(BaseModel):
    """One comparison, or why there is none."""

    decision: Literal["match", "non_match"] | None = Field(description="Null with an `error`: no decision.")
    score: float | None
    llr: float | None
    threshold: float | None = Field(description="That of the two sides' quality levels.")
    error: PairErrorEntry | None


class BatchAnswer(BaseModel):
    results: list[PairEntry] = Field(description="One for each pair, in the order sent.")
    operating_point: str
    fmr: float
    fingerprint: str
    pad: Literal["not_performed"] = Field(description="Presentation-attack detection: never part of this answer.")
    matches: int
    expected_false_matches: float = Field(
        description="Matches that chance alone would make if every pair compared here were of two people."
    )


class ThresholdAnswer(BaseModel):
    quality_levels: tuple[str, str] = Field(description="Of the better and of the worse template.")
    threshold: float
    threshold_interval: tuple[float, float]
    false_matches: int = Field(description="Non-mated comparisons seen at or above the threshold.")
    comparisons: int = Field(description="Non-mated comparisons measured.")
    false_match_pairs: int = Field(description="Pairs of people that these are of.")
    fnmr: float = Field(description="False non-match rate of the same people at this threshold.")
    mated_comparisons: int


class OperatingPointAnswer(BaseModel):
    name: str
    fmr: float
    thresholds: list[ThresholdAnswer] = Field(description="One for every two quality levels.")


class QualityLevelAnswer(BaseModel):
    name: str
    template_norm_from: float = Field(description="The lowest template norm of this level.")


class LicenseAnswer(BaseModel):
    spdx: str
    commercial_use: bool
    notice: str


class PackAnswer(BaseModel):
    name: str
    version: str
    fingerprint: str
    width: int = Field(description="Numbers in a template's vector.")
    aggregation: str
    aggregator_trained: bool
    license: LicenseAnswer
    calibration_data: str | None = Field(description="What the operating points were measured on; null: none yet.")
    default_operating_point: str | None
    quality_levels: list[QualityLevelAnswer] = Field(description="Poorest first.")
    operating_points: list[OperatingPointAnswer] = Field(description="By falling FMR.")


class PacksAnswer(BaseModel):
    current: str
    packs: list[PackAnswer] = Field(description="What is loaded.")


class HealthAnswer(BaseModel):
    status: Literal["live"]


class CheckAnswer(BaseModel):
    name: Literal["store", "engine", "pack"]
    ok: bool
    detail: str


class ReadinessAnswer(BaseModel):
    status: Literal["ready"]
    checks: list[CheckAnswer]


class FieldProblemEntry(BaseModel):
    pointer: str = Field(description="JSON pointer as a URI fragment, or the name of a form field.")
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(description="`urn:coreface:problem:` and the code.")
    title: str
    status: int
    detail: str = Field(description="What to do.")
    code: str = Field(description="Stable; see docs/errors.md.")
    request_id: str
    side: Literal["reference", "probe"] | None = Field(
        default=None, description="With /v1/verify: the side that is at fault, where it is one of them."
    )
    errors: list[FieldProblemEntry] = Field(default=[], description="With `invalid_request`: the wrong fields.")
    samples: list[SampleEntry] = Field(
        default=[], description="With `no_usable_sample` and `inconsistent_set`: why, one by one."
    )
    checks: list[CheckAnswer] = Field(default=[], description="With `not_ready` of /health/ready.")


def sample_entry(report: SampleReport) -> SampleEntry:
    quality = report.face_quality
    return SampleEntry(
        index=report.index,
        status="used" if report.reason is None else "rejected",
        reason=report.reason,
        box=report.box,
        landmarks=None if report.landmarks is None else [(x, y) for x, y in report.landmarks],
        detection_score=report.detection_score,
        eye_distance=report.eye_distance,
        sharpness=None if quality is None else quality.sharpness,
        brightness=None if quality is None else quality.brightness,
        yaw=None if quality is None else quality.pose.yaw,
        roll=None if quality is None else quality.pose.roll,
        feature_norm=report.feature_norm,
        quality=report.quality,
        group=report.group,
        core_rank=report.core_rank,
        weight=report.weight,
    )


def instant(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
