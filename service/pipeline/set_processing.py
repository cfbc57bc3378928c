"""From encoded samples to templates, a batch of sets at a time: decode, detect, choose, align, embed, aggregate.

Runs where the models are: in a worker, or in the process of a local engine. Every stage works over all sets of the
batch. Decoded images are the only large thing here, so they are held a bounded number of pixels at a time; what
stays is the 112x112 face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import CorefaceError, InferenceFailedError, SampleRejectedError
from service.pipeline.quality_gate import refuse_face, refuse_norm
from service.pipeline.stage_clock import StageClock
from service.protocols import FaceDetector, FaceEmbedder, SetAggregator
from service.types import (
    Detection,
    EmbeddedSample,
    Embedding,
    FaceQuality,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)
from service.vision.alignment import align_face, arcface_template
from service.vision.decoding import decode_image
from service.vision.face_selection import choose_face
from service.vision.quality import measure_face
from service.vision.sniffing import ImageLimits, sniff_image

CHUNK_PIXELS = 32_000_000
"""Decoded pixels held at once (96 MB), unless one image alone is larger."""
_WARM_UP_FACE = Detection((40.0, 40.0, 120.0, 140.0), 1.0, (arcface_template() + 24).astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Job:
    """One sample on its way through the stages."""

    request: SetRequest
    sample: Sample

    @property
    def key(self) -> tuple[int, str]:
        """Unique in a batch; the same sample may be part of several of its sets."""
        return id(self.request), self.sample.digest


@dataclass(frozen=True, slots=True)
class _DecodedSample:
    job: _Job
    image_bgr: NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class _FoundFace:
    job: _Job
    image_bgr: NDArray[np.uint8]  # (H, W, 3)
    detection: Detection


@dataclass(frozen=True, slots=True)
class _AlignedFace:
    job: _Job
    detection: Detection
    quality: FaceQuality
    face_bgr: NDArray[np.uint8]  # (112, 112, 3)


@dataclass(frozen=True, slots=True)
class _Rejection:
    job: _Job
    reason: RejectionReason
    detection: Detection | None = None
    quality: FaceQuality | None = None


class SetProcessor:
    """Order and policy of the stages; the pixels and weights are the detector's, embedder's and aggregator's."""

    def __init__(
        self,
        detector: FaceDetector,
        embedder: FaceEmbedder,
        aggregator: SetAggregator,
        limits: ImageLimits,
        *,
        min_eye_distance_pixels: float,
        decode_threads: int,
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._aggregator = aggregator
        self._limits = limits
        self._min_eye_distance_pixels = min_eye_distance_pixels
        self._decoders = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")

    def close(self) -> None:
        """End the decoder threads."""
        self._decoders.shutdown()

    def warm_up(self) -> None:
        """Run every network once, so that the first request does not pay for it. Raises `InferenceFailedError`."""
        grey = [np.full((side, side, 3), 128, np.uint8) for side in (160, 640)]
        self._detector.detect(grey)
        self._detector.refine_landmarks(grey[:1], [_WARM_UP_FACE])
        embedding = self._embedder.embed(np.full((1, 112, 112, 3), 128, np.uint8))[0]
        if embedding is None:
            raise InferenceFailedError("The embedder answers nothing usable on a grey image.")
        self._aggregator.aggregate([[embedding]])

    def process(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
        """One answer per request, in order. A failing batch is tried again set by set, so that only the set
        that fails alone is answered with `InferenceFailedError`."""
        try:
            return list(self._process_together(requests))
        except InferenceFailedError as error:
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in self.process([request])]

    def _process_together(self, requests: Sequence[SetRequest]) -> list[SetResult]:
        clock = StageClock()
        outcomes: dict[tuple[int, str], SampleOutcome] = {
            (id(request), known.digest): _admit(known, request.quality_limits)
            for request in requests
            for known in request.known
        }
        jobs = [_Job(request, sample) for request in requests for sample in request.samples]
        faces: list[_AlignedFace] = []
        for chunk in self._chunks(jobs):
            for result in self._align_faces(chunk, clock):
                if isinstance(result, _Rejection):
                    outcomes[result.job.key] = RejectedSample(
                        result.job.sample.digest, result.reason, result.detection, result.quality
                    )
                else:
                    faces.append(result)
        for face, outcome in zip(faces, self._embed(faces, clock), strict=True):
            outcomes[face.job.key] = outcome
        # Sorted by digest: neither the order of upload nor what was cached decides how ties in the core fall.
        sorted_outcomes = [
            tuple(outcomes[id(request), digest] for digest in sorted(_digests(request))) for request in requests
        ]
        return self._aggregate(requests, sorted_outcomes, clock)

    def _chunks(self, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
        chunk: list[_Job] = []
        pixels = 0
        for job in jobs:
            try:
                header = sniff_image(job.sample.data, self._limits)
                job_pixels = header.width * header.height
            except SampleRejectedError:
                job_pixels = 0  # decoding will find the reason again and report it
            if chunk and pixels + job_pixels > CHUNK_PIXELS:
                yield chunk
                chunk, pixels = [], 0
            chunk.append(job)
            pixels += job_pixels
        if chunk:
            yield chunk

    def _align_faces(self, jobs: Sequence[_Job], clock: StageClock) -> list[_AlignedFace | _Rejection]:
        with clock.stage("decode"):
            decoded = list(self._decoders.map(self._decode, jobs))
        images = [result for result in decoded if isinstance(result, _DecodedSample)]
        with clock.stage("detect"):
            detections = self._detector.detect([image.image_bgr for image in images]) if images else []
            chosen = [self._choose(image, faces) for image, faces in zip(images, detections, strict=True)]
            found = [result for result in chosen if isinstance(result, _FoundFace)]
            refined = self._detector.refine_landmarks(
                [face.image_bgr for face in found], [face.detection for face in found]
            )
        with clock.stage("align"):
            aligned = [self._align(face, detection) for face, detection in zip(found, refined, strict=True)]
        return [*aligned, *(result for result in (*decoded, *chosen) if isinstance(result, _Rejection))]

    def _decode(self, job: _Job) -> _DecodedSample | _Rejection:
        try:
            return _DecodedSample(job, decode_image(job.sample.data, self._limits))
        except SampleRejectedError as error:
            return _Rejection(job, error.reason)

    def _choose(self, image: _DecodedSample, detections: Sequence[Detection]) -> _FoundFace | _Rejection:
        try:
            detection = choose_face(
                detections,
                image.job.request.face_policy,
                self._min_eye_distance_pixels,
                image_size=image.image_bgr.shape[:2],
            )
        except SampleRejectedError as error:
            return _Rejection(image.job, error.reason)
        return _FoundFace(image.job, image.image_bgr, detection)

    def _align(self, face: _FoundFace, detection: Detection) -> _AlignedFace | _Rejection:
        try:
            aligned = align_face(face.image_bgr, detection.landmarks)
        except SampleRejectedError as error:
            return _Rejection(face.job, error.reason, detection)
        quality = measure_face(aligned, detection.landmarks)
        reason = refuse_face(detection, quality, face.job.request.quality_limits)
        if reason is not None:
            return _Rejection(face.job, reason, detection, quality)
        return _AlignedFace(face.job, detection, quality, aligned)

    def _embed(self, faces: Sequence[_AlignedFace], clock: StageClock) -> list[SampleOutcome]:
        if not faces:
            return []
        with clock.stage("embed"):
            embeddings = self._embedder.embed(np.stack([face.face_bgr for face in faces]))
        return [
            RejectedSample(face.job.sample.digest, RejectionReason.UNUSABLE_EMBEDDING, face.detection, face.quality)
            if embedding is None
            else _admit(
                EmbeddedSample(face.job.sample.digest, face.detection, face.quality, embedding),
                face.job.request.quality_limits,
            )
            for face, embedding in zip(faces, embeddings, strict=True)
        ]

    def _aggregate(
        self, requests: Sequence[SetRequest], outcomes: Sequence[tuple[SampleOutcome, ...]], clock: StageClock
    ) -> list[SetResult]:
        sets: list[list[Embedding]] = [
            [outcome.embedding for outcome in set_outcomes if isinstance(outcome, EmbeddedSample)]
            for set_outcomes in outcomes
        ]
        with clock.stage("aggregate"):
            aggregations = iter(self._aggregator.aggregate([embeddings for embeddings in sets if embeddings]))
        return [
            SetResult(
                request_id=request.request_id,
                outcomes=set_outcomes,
                aggregation=next(aggregations) if embeddings else None,
                stage_seconds=clock.seconds,
            )
            for request, set_outcomes, embeddings in zip(requests, outcomes, sets, strict=True)
        ]


def _admit(sample: EmbeddedSample, limits: QualityLimits) -> SampleOutcome:
    """The sample, unless it breaks a limit: one that was embedded under looser limits may."""
    norm = sample.embedding.norm
    reason = refuse_face(sample.detection, sample.quality, limits) or refuse_norm(norm, limits)
    if reason is None:
        return sample
    return RejectedSample(sample.digest, reason, sample.detection, sample.quality, norm)


def _digests(request: SetRequest) -> list[str]:
    return [*(sample.digest for sample in request.samples), *(known.digest for known in request.known)]
