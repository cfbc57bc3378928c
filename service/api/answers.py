"""What the routes answer."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.types import RejectionReason, SampleReport, Template


class SampleEntry(BaseModel):
    """What became of one sample."""

    index: int = Field(description="Place in the upload, from 0.")
    digest: str = Field(description="SHA-256 of the sample, hex.")
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
    seconds: float | None = Field(description="In a clip: the time of the frame that box and landmarks are of.")
    change: float | None = Field(
        description="How far the template would turn without this sample: 1 minus the cosine; null: not measured."
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
    subject: str | None
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
    subject: str | None
    samples: list[SampleEntry] = Field(description="As answered to the upload that made it.")


class SubjectTemplateEntry(BaseModel):
    template_id: str
    fingerprint: str
    created_at: datetime
    expires_at: datetime
    samples: int = Field(description="Distinct samples it was made of.")


class ListedTemplateEntry(SubjectTemplateEntry):
    subject: str | None
    quality: float | None = Field(description="The template norm on the pack's scale, 0..100; null: no scale.")
    consistent: bool | None = Field(description="Whether all faces of the upload look like one person's.")


class TemplatesAnswer(BaseModel):
    templates: list[ListedTemplateEntry] = Field(description="In no order; about as many as asked for, or none.")
    next_cursor: str | None = Field(description="For the next page; null: there is none.")


class ExpiryAnswer(BaseModel):
    template_id: str
    expires_at: datetime


class SubjectAnswer(BaseModel):
    subject: str
    count: int
    templates: list[SubjectTemplateEntry] = Field(description="The one that expires first first.")


class SubjectErasedAnswer(BaseModel):
    subject: str
    erased: int = Field(description="Templates.")


class ContributionEntry(BaseModel):
    digest: str = Field(description="SHA-256 of the sample, hex.")
    score_change: float = Field(
        description="The score minus what it would be without this sample: above 0 it speaks for a match."
    )


class SideAnswer(BaseModel):
    template_norm: float | None = Field(description="Null for a vector that was sent without one.")
    quality: float | None = Field(description="The template norm on the pack's scale, 0..100; null: not known.")
    quality_level: str = Field(description="Of the template, by its norm; see /v1/packs/current. `unknown` without.")
    consistent: bool | None = Field(
        description="For a sample set: whether all its faces look like one person's; null: not known."
    )
    samples: list[SampleEntry] | None = Field(description="For a sample set.")
    contributions: list[ContributionEntry] | None = Field(
        description="With `explain`: of the samples in the template, the most telling first; null for one sample."
    )


_BAND = "The strictest operating point at which the two match; null: they match at none."


class VerifyAnswer(BaseModel):
    decision: Literal["match", "non_match"]
    band: str | None = Field(description=_BAND)
    score: float | None = Field(description="With `raw` scores: cosine, -1..1; higher is more alike.")
    llr: float | None = Field(
        description="With `raw` scores: natural logarithm of the likelihood ratio, how much likelier this score is for "
        "one person than for two, at this quality. Measured apart from the threshold."
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
    band: str | None = Field(description=_BAND)
    score: float | None = Field(description="With `raw` scores.")
    llr: float | None = Field(description="With `raw` scores.")
    threshold: float | None = Field(description="That of the two sides' quality levels.")
    reference_consistent: bool | None = Field(description="As `consistent` of a side of /v1/verify.")
    probe_consistent: bool | None
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


CheckName = Literal["process", "store", "engine", "pack", "workers", "queue", "sealing_key", "clock"]
HealthStatus = Literal["ok", "warning", "failing"]


class CheckAnswer(BaseModel):
    name: CheckName
    ok: bool
    detail: str
    remedy: str | None = Field(None, description="What to do, where it is not ok.")


class ReadinessAnswer(BaseModel):
    status: Literal["ready"]
    checks: list[CheckAnswer]


class FindingAnswer(BaseModel):
    name: CheckName
    status: HealthStatus = Field(
        description="`failing`: does not work now; `warning`: not for long, or not for everybody."
    )
    detail: str
    remedy: str | None = Field(description="What to do; null where there is nothing to do.")


class StoreHealthAnswer(BaseModel):
    latency_seconds: float
    used_bytes: int
    limit_bytes: int | None = Field(description="null: no limit.")
    clock_skew_seconds: float = Field(description="How far this process's clock is ahead of the store's.")
    saves: bool = Field(description="Whether it wrote to its disk what it was to write last.")


class QueueHealthAnswer(BaseModel):
    """Of this API process."""

    sets_waiting: int
    sets_in_flight: int = Field(description="With the workers.")
    oldest_seconds: float = Field(description="Age of the oldest of all these; 0 where there is none.")


class WorkerHealthAnswer(BaseModel):
    worker_id: str
    version: str
    providers: list[str] = Field(description="What runs the model, with its precision where that is not float32.")
    slots: int = Field(description="Sets that it takes at once.")


class HealthReportAnswer(BaseModel):
    status: HealthStatus = Field(description="The worst of the checks.")
    version: str
    pack: str
    fingerprint: str
    checks: list[FindingAnswer]
    store: StoreHealthAnswer | None = Field(description="null where it cannot be asked.")
    queue: QueueHealthAnswer | None
    workers: list[WorkerHealthAnswer] = Field(description="Empty with COREFACE_ENGINE=local.")


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
    errors: list[FieldProblemEntry] = Field(
        default=[],
        description="With `invalid_request`, and `invalid_vector` where the form tells: the wrong fields.",
    )
    samples: list[SampleEntry] = Field(
        default=[], description="With `no_usable_sample` and `inconsistent_set`: why, one by one."
    )
    checks: list[CheckAnswer] = Field(default=[], description="With `not_ready` of /health/ready.")


def sample_entry(report: SampleReport) -> SampleEntry:
    quality = report.face_quality
    return SampleEntry(
        index=report.index,
        digest=report.digest,
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
        change=report.change,
        seconds=report.seconds,
        core_rank=report.core_rank,
        weight=report.weight,
    )


def listed_template(template: Template) -> ListedTemplateEntry:
    return ListedTemplateEntry(
        template_id=template.template_id,
        fingerprint=template.fingerprint,
        created_at=instant(template.created_at),
        expires_at=instant(template.expires_at),
        samples=len(template.sample_digests),
        subject=template.subject,
        quality=template.quality,
        consistent=template.is_consistent,
    )


def instant(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
