"""The values that travel between rooms: frozen, with shapes, ranges and units stated.

Arrays inside these values are never written to after construction. Coordinates are pixels of the upright
image (after the EXIF turn), x to the right and y down, origin at the centre of the top-left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from service.rejection_reasons import RejectionReason as RejectionReason


class FacePolicy(StrEnum):
    """Which face of a sample is taken when several are found."""

    LARGEST = "largest"
    """The face with the largest box."""
    CENTRAL = "central"
    """The face whose box is centred nearest to the middle of the image."""
    ONLY = "only"
    """A sample with several faces is rejected (`several_faces`)."""
    CONSISTENT = "consistent"
    """The face that agrees with the other samples of the set."""


class ConsistencyPolicy(StrEnum):
    """What becomes of a set whose faces do not look like one person's."""

    WARN = "warn"
    """All samples are used; the report says which do not agree."""
    DROP = "drop"
    """Those outside the largest group are rejected (`inconsistent`)."""
    REFUSE = "refuse"
    """No template is made (`inconsistent_set`)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One submitted image, undecoded."""

    digest: str
    """SHA-256 of `data`, lower-case hex."""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found in an image."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the upright image; may reach past its border."""
    score: float
    """Detector score, 0..1."""
    landmarks: NDArray[np.float32]  # (5, 2)
    """Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner (x, y), pixels."""

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        x1, y1, x2, y2 = self.box
        return max(0.0, x2 - x1) * max(0.0, y2 - y1)

    @property
    def eye_distance(self) -> float:
        """Distance between the two eye landmarks, pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Degrees; 0, 0 looks straight into the camera, upright."""

    yaw: float
    """Positive where the face is turned to the image's right."""
    roll: float
    """Positive where the head leans to the image's right."""


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """What was measured on an aligned face."""

    sharpness: float
    """Standard deviation of the Laplacian of the aligned crop, grey levels of 255; blurred faces are below some 8."""
    brightness: float
    """Mean luminance of the face, 0..1."""
    pose: HeadPose


@dataclass(frozen=True, slots=True)
class Embedding:
    """The embedder's answer for one aligned face."""

    vector: NDArray[np.float32]  # (D,)
    """Unit length."""
    norm: float
    """Length before normalisation (the feature norm), > 0 and finite."""


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """A face that became an embedding."""

    detection: Detection
    quality: FaceQuality
    embedding: Embedding
    seconds: float | None = None
    """In a clip: when the face is seen best."""


@dataclass(frozen=True, slots=True)
class EmbeddedSample:
    """A sample of which a face became an embedding."""

    digest: str
    face: EmbeddedFace
    others: tuple[EmbeddedFace, ...] = ()
    """Under the face policy `consistent`: the faces that were not taken, in another set perhaps to be."""

    @property
    def embedding(self) -> Embedding:
        """Of the face that is taken."""
        return self.face.embedding


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """A sample that did not, with what was found of it before it was rejected."""

    digest: str
    reason: RejectionReason
    detection: Detection | None = None
    quality: FaceQuality | None = None
    feature_norm: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOutSample:
    """A sample that became an embedding but no part of the template, because of the other samples of its set."""

    sample: EmbeddedSample
    reason: RejectionReason

    @property
    def digest(self) -> str:
        return self.sample.digest


SampleOutcome = EmbeddedSample | LeftOutSample | RejectedSample


@dataclass(frozen=True, slots=True)
class SetPolicies:
    """What a caller decides for one sample set."""

    face: FacePolicy = FacePolicy.LARGEST
    consistency: ConsistencyPolicy = ConsistencyPolicy.WARN

    @property
    def need_groups(self) -> bool:
        """Whether they can be carried out only by a pack that tells whether faces agree."""
        return self.face is FacePolicy.CONSISTENT or self.consistency is not ConsistencyPolicy.WARN


@dataclass(frozen=True, slots=True)
class SampleMaterial:
    """What a template can be made of again, without the images."""

    samples: tuple[EmbeddedSample, ...]
    """Every one with an embedding, left out or not, sorted by digest."""
    rejected: tuple[RejectedSample, ...]
    policies: SetPolicies
    embedding_fingerprint: str
    """Of the pack's detector and embedder, which made the embeddings."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What the set aggregator makes of N embeddings, in the order it was given them."""

    vector: NDArray[np.float32]  # (D,)
    """The template: unit length."""
    norm: float
    """Template norm: length before normalisation."""
    core_indices: tuple[int, ...]
    """Indices of the core samples in the order they were picked; at most K."""
    weights: tuple[float, ...]
    """Share of each sample in the template: N numbers >= 0 that sum to 1."""
    without: NDArray[np.float32] | None = None  # (N, D)
    """The template without each of the samples, unit length; None for one sample, and for more than are explained."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a face must reach. The defaults refuse nothing."""

    min_detection_score: float = 0.0
    min_sharpness: float = 0.0
    min_brightness: float = 0.0
    max_brightness: float = 1.0
    max_yaw_degrees: float = 180.0
    max_roll_degrees: float = 180.0
    min_feature_norm: float = 0.0


DEFAULT_TENANT = "default"
"""Of requests without an API key."""


@dataclass(frozen=True, slots=True)
class SetRequest:
    """One sample set on its way to a template engine."""

    request_id: str
    samples: tuple[Sample, ...]
    """Samples to embed: distinct digests."""
    known: tuple[EmbeddedSample, ...]
    """Samples whose embeddings are at hand (from the cache); digests distinct from `samples`."""
    face_policy: FacePolicy
    fingerprint: str
    """The pack that the asker expects; an engine with another one refuses (`fingerprint_mismatch`)."""
    timeout_s: float
    """Time left for the answer, counted from the hand-over; work past it is dropped."""
    quality_limits: QualityLimits = QualityLimits()
    consistency_policy: ConsistencyPolicy = ConsistencyPolicy.WARN
    draw: tuple[SampleReport, ...] = ()
    """Where a picture is wanted: its lines, one tile each, whatever becomes of the samples this time."""
    tenant: str = DEFAULT_TENANT
    """Whose set it is: tenants share an engine fairly by cost."""

    @property
    def cost(self) -> int:
        """In samples: embedding them is most of the work."""
        return max(1, len(self.samples))

    @property
    def size(self) -> int:
        """Bytes of its samples."""
        return sum(len(sample.data) for sample in self.samples)


@dataclass(frozen=True, slots=True)
class SetResult:
    """What became of a sample set."""

    request_id: str
    outcomes: tuple[SampleOutcome, ...]
    """One per distinct sample of the request (`samples` and `known`), sorted by digest."""
    aggregation: Aggregation | None
    """Over the embedded outcomes, in their order; None when no sample could be embedded."""
    stage_seconds: dict[str, float]
    """Wall time of the batch that this set was part of, by stage: queue, decode, detect, align, embed, aggregate."""
    groups: tuple[int | None, ...]
    """Of each outcome: 0 for the largest group of faces that agree, 1, 2, ... for the others; None where no face was
    embedded, and for every outcome where the pack cannot tell."""
    picture: bytes | None = field(default=None, repr=False)
    """When asked for: PNG, the lines of the request with the samples they are of."""


@dataclass(frozen=True, slots=True)
class SampleReport:
    """One line of a report."""

    index: int
    """Place in the upload, from 0."""
    digest: str
    """SHA-256 of the sample."""
    status: str
    """`used` or `rejected`."""
    reason: RejectionReason | None
    box: tuple[float, float, float, float] | None
    landmarks: tuple[tuple[float, float], ...] | None
    detection_score: float | None
    face_quality: FaceQuality | None
    feature_norm: float | None
    core_rank: int | None
    """0 for the first core sample picked, 1 for the second, ...; None outside the core."""
    weight: float
    """Share in the template, 0..1; 0 when rejected."""
    quality: float | None = None
    """The feature norm on the pack's scale, 0..100; None where it has none."""
    group: int | None = None
    """0: agrees with most of the set; 1, 2, ...: another group; None: not known."""
    seconds: float | None = None
    """In a clip: the time of the frame that box and landmarks are of."""
    change: float | None = None
    """1 minus the cosine of the template to the one that the other samples make; None: not known."""

    @property
    def eye_distance(self) -> float | None:
        """Distance between the two eye landmarks, pixels."""
        if self.landmarks is None:
            return None
        (x1, y1), (x2, y2) = self.landmarks[:2]
        return math.hypot(x2 - x1, y2 - y1)


@dataclass(frozen=True, slots=True)
class ComparedTemplate:
    """Of a kept template, what a comparison needs."""

    template_id: str
    fingerprint: str
    vector: NDArray[np.float32]  # (D,)
    """Unit length."""
    norm: float
    quality: float | None
    is_consistent: bool | None


@dataclass(frozen=True, slots=True)
class Template:
    """The descriptor of one sample set, as it is kept."""

    template_id: str
    fingerprint: str
    """Fingerprint of the pack that made it. Templates of different fingerprints are never compared."""
    vector: NDArray[np.float32]  # (D,)
    """Unit length."""
    norm: float
    created_at: float
    """Unix time, seconds."""
    expires_at: float
    """Unix time, seconds."""
    reports: tuple[SampleReport, ...]
    """One line per sample of the upload that made it, in its order."""
    quality: float | None = None
    """The template norm on the pack's scale, 0..100; None where it has none."""
    subject: str | None = None
    """The caller's own name for whom the samples are of."""

    @property
    def sample_digests(self) -> tuple[str, ...]:
        """SHA-256 of every distinct submitted sample, sorted."""
        return tuple(sorted({report.digest for report in self.reports}))

    @property
    def is_consistent(self) -> bool | None:
        """Whether all faces of the upload, those dropped for it included, look like one person's; None: not known."""
        return are_consistent(self.reports)

    @property
    def compared(self) -> ComparedTemplate:
        return ComparedTemplate(
            self.template_id, self.fingerprint, self.vector, self.norm, self.quality, self.is_consistent
        )


def are_consistent(reports: Sequence[SampleReport]) -> bool | None:
    """As `Template.is_consistent`, of these lines."""
    return are_one_group(report.group for report in reports)


def are_one_group(groups: Iterable[int | None]) -> bool | None:
    """Whether all that is known of these groups is that they are the largest one; None: nothing is known."""
    known = set(groups) - {None}
    return known == {0} if known else None
