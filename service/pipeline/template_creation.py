"""From an upload to a template: refuse early, look in the cache, ask the engine, keep the answer.

Runs in the API process: nothing here decodes a pixel.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.calibration.quality_scale import QualityScale
from service.errors import (
    DeadlineExceededError,
    InconsistentSetError,
    NoSamplesError,
    NoUsableSampleError,
    SampleRejectedError,
    TooManySamplesError,
)
from service.pipeline.reports import reorder_reports, report_samples
from service.pipeline.set_keys import digest_sample, set_key
from service.pipeline.single_flight import SingleFlight
from service.pipeline.stage_clock import StageClock
from service.protocols import TemplateEngine, TemplateStore
from service.types import (
    ConsistencyPolicy,
    EmbeddedSample,
    FacePolicy,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleReport,
    SetRequest,
    SetResult,
    Template,
)
from service.vision.sniffing import ImageLimits, sniff_image


@dataclass(frozen=True, slots=True)
class CreationPolicy:
    """What an upload may cost, and how long its template lives."""

    max_samples: int
    max_sample_bytes: int
    image_limits: ImageLimits
    min_eye_distance_pixels: float
    quality_limits: QualityLimits
    timeout_s: float
    template_ttl_s: int


@dataclass(frozen=True, slots=True)
class SetPolicies:
    """What a caller decides for one sample set."""

    face: FacePolicy = FacePolicy.LARGEST
    consistency: ConsistencyPolicy = ConsistencyPolicy.WARN


@dataclass(frozen=True, slots=True)
class CreatedTemplate:
    """A template, and this upload's view of it."""

    template: Template
    reports: tuple[SampleReport, ...]
    """In the order of this upload; the template's own are in the order of the upload that made it."""
    cached: bool
    """Whether the template was already kept for this very set."""
    stage_seconds: dict[str, float]
    """Empty when cached."""


@dataclass(frozen=True, slots=True)
class _Upload:
    digests: tuple[str, ...]
    """In the order of upload, repetitions included."""
    accepted: tuple[Sample, ...]
    """Distinct, sorted by digest."""
    rejected: tuple[RejectedSample, ...]


class TemplateCreator:
    """Makes templates with one pack."""

    def __init__(
        self,
        engine: TemplateEngine,
        store: TemplateStore,
        fingerprint: str,
        policy: CreationPolicy,
        *,
        quality_scale: QualityScale,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._store = store
        self._fingerprint = fingerprint
        self._policy = policy
        self._quality_scale = quality_scale
        self._clock = clock
        self._flights: SingleFlight[tuple[Template, dict[str, float]]] = SingleFlight()

    async def create(self, samples: Sequence[bytes], policies: SetPolicies, *, keep: bool = True) -> CreatedTemplate:
        """One template from the encoded images of one subject.

        With `keep` the template is stored and can be named by its id; without, only the embeddings are cached.
        Raises `NoSamplesError`, `TooManySamplesError`, `NoUsableSampleError`, `InconsistentSetError`,
        `DeadlineExceededError`, and what the engine and the store raise. Nothing is kept of a set that fails.
        """
        if not samples:
            raise NoSamplesError("Send at least one image in the field `samples`.")
        if len(samples) > self._policy.max_samples:
            raise TooManySamplesError(f"{len(samples)} samples; a set holds at most {self._policy.max_samples}.")
        started = time.monotonic()
        upload = await asyncio.to_thread(self._read_upload, samples)
        key = set_key(
            upload.digests,
            self._fingerprint,
            policies.face,
            policies.consistency,
            min_eye_distance_pixels=self._policy.min_eye_distance_pixels,
            quality_limits=self._policy.quality_limits,
        )
        known = await self._store.find_by_set(key)
        if known is not None:
            return CreatedTemplate(known, reorder_reports(upload.digests, known.reports), True, {})
        deadline = started + self._policy.timeout_s
        template, stage_seconds = await self._flights.run(
            (key, keep), lambda: self._compute(upload, policies, key, keep, deadline)
        )
        return CreatedTemplate(template, reorder_reports(upload.digests, template.reports), False, stage_seconds)

    def _read_upload(self, samples: Sequence[bytes]) -> _Upload:
        digests = tuple(digest_sample(data) for data in samples)
        accepted: list[Sample] = []
        rejected: list[RejectedSample] = []
        for digest, data in sorted(dict(zip(digests, samples, strict=True)).items()):
            reason = self._refusal(data)
            if reason is None:
                accepted.append(Sample(digest, data))
            else:
                rejected.append(RejectedSample(digest, reason))
        return _Upload(digests, tuple(accepted), tuple(rejected))

    def _refusal(self, data: bytes) -> RejectionReason | None:
        """Why a sample need not travel to the engine at all, from its length and header."""
        if not data:
            return RejectionReason.EMPTY
        if len(data) > self._policy.max_sample_bytes:
            return RejectionReason.TOO_LARGE
        try:
            sniff_image(data, self._policy.image_limits)
        except SampleRejectedError as error:
            return error.reason
        return None

    async def _compute(
        self, upload: _Upload, policies: SetPolicies, key: str, keep: bool, deadline: float
    ) -> tuple[Template, dict[str, float]]:
        clock = StageClock()
        with clock.stage("cache"):
            known = await self._known_embeddings(upload, policies.face)
        result = await self._embed_and_aggregate(upload, known, policies, deadline)
        outcomes = (*upload.rejected, *result.outcomes)
        groups = (*(None for _ in upload.rejected), *result.groups)
        reports = report_samples(upload.digests, outcomes, groups, result.aggregation, self._quality_scale)
        if result.aggregation is None:
            if any(report.reason is RejectionReason.INCONSISTENT for report in reports):
                raise InconsistentSetError(
                    "The faces of this set do not look like one person's; see `group` of each sample.", reports
                )
            raise NoUsableSampleError(
                "None of the samples holds a usable face; see `samples` for each reason.", reports
            )
        now = self._clock()
        template = Template(
            template_id=secrets.token_urlsafe(16),
            fingerprint=self._fingerprint,
            vector=result.aggregation.vector,
            norm=result.aggregation.norm,
            quality=self._quality_scale.of_template(result.aggregation.norm),
            created_at=now,
            expires_at=now + self._policy.template_ttl_s,
            reports=reports,
        )
        with clock.stage("store"):
            fresh = [
                outcome
                for outcome in result.outcomes
                if isinstance(outcome, EmbeddedSample) and outcome.digest not in known
            ]
            await self._store.put_embeddings(fresh, self._fingerprint, policies.face)
            if keep:
                template = await self._store.put(template, key)
        return template, {**result.stage_seconds, **clock.seconds}

    async def _known_embeddings(self, upload: _Upload, face_policy: FacePolicy) -> dict[str, EmbeddedSample]:
        cached = await self._store.get_embeddings(
            [sample.digest for sample in upload.accepted], self._fingerprint, face_policy
        )
        # The limit on face size is a setting: an embedding made under a lower one is not taken for granted.
        return {
            digest: sample
            for digest, sample in cached.items()
            if sample.face.detection.eye_distance >= self._policy.min_eye_distance_pixels
        }

    async def _embed_and_aggregate(
        self, upload: _Upload, known: dict[str, EmbeddedSample], policies: SetPolicies, deadline: float
    ) -> SetResult:
        request_id = secrets.token_hex(16)
        if not upload.accepted:
            return SetResult(request_id, (), None, {}, ())
        timeout_s = deadline - time.monotonic()
        if timeout_s <= 0:
            raise DeadlineExceededError("The time for this request ran out before its samples were embedded.")
        request = SetRequest(
            request_id=request_id,
            samples=tuple(sample for sample in upload.accepted if sample.digest not in known),
            known=tuple(known[digest] for digest in sorted(known)),
            face_policy=policies.face,
            fingerprint=self._fingerprint,
            timeout_s=timeout_s,
            quality_limits=self._policy.quality_limits,
            consistency_policy=policies.consistency,
        )
        return await self._engine.create(request)
