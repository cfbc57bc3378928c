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
from service.pipeline.stage_clock import StageClock
from service.protocols import FaceDetector, FaceEmbedder, SetAggregator
from service.types import (
    Detection,
    EmbeddedSample,
    Embedding,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)
from service.vision.alignment import align_face
from service.vision.decoding import decode_image
from service.vision.face_selection import choose_face
from service.vision.sniffing import ImageLimits, sniff_image

CHUNK_PIXELS = 32_000_000
"""Decoded pixels held at once (96 MB), unless one image alone is larger."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One sample on its way through the stages."""

    request: SetRequest
    sample: Sample


@dataclass(frozen=True, slots=True)
class _AlignedSample:
    job: _Job
    detection: Detection
    face_bgr: NDArray[np.uint8]  # (112, 112, 3)


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
        self._detector.detect([np.zeros((side, side, 3), np.uint8) for side in (160, 640)])
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
            (id(request), known.digest): known for request in requests for known in request.known
        }
        jobs = [_Job(request, sample) for request in requests for sample in request.samples]
        aligned: list[_AlignedSample] = []
        for chunk in self._chunks(jobs):
            for job, result in self._detect_and_align(chunk, clock):
                if isinstance(result, RejectedSample):
                    outcomes[id(job.request), job.sample.digest] = result
                else:
                    aligned.append(result)
        for face, outcome in zip(aligned, self._embed(aligned, clock), strict=True):
            outcomes[id(face.job.request), face.job.sample.digest] = outcome
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

    def _detect_and_align(
        self, jobs: Sequence[_Job], clock: StageClock
    ) -> list[tuple[_Job, _AlignedSample | RejectedSample]]:
        with clock.stage("decode"):
            decoded = list(self._decoders.map(self._decode, jobs))
        images = [image for image in decoded if not isinstance(image, RejectedSample)]
        with clock.stage("detect"):
            detections = iter(self._detector.detect(images) if images else [])
        with clock.stage("align"):
            return [
                (job, image if isinstance(image, RejectedSample) else self._align(job, image, next(detections)))
                for job, image in zip(jobs, decoded, strict=True)
            ]

    def _decode(self, job: _Job) -> NDArray[np.uint8] | RejectedSample:
        try:
            return decode_image(job.sample.data, self._limits)
        except SampleRejectedError as error:
            return RejectedSample(job.sample.digest, error.reason)

    def _align(
        self, job: _Job, image_bgr: NDArray[np.uint8], detections: Sequence[Detection]
    ) -> _AlignedSample | RejectedSample:
        try:
            detection = choose_face(detections, job.request.face_policy, self._min_eye_distance_pixels)
        except SampleRejectedError as error:
            return RejectedSample(job.sample.digest, error.reason)
        return _AlignedSample(job, detection, align_face(image_bgr, detection.landmarks))

    def _embed(self, faces: Sequence[_AlignedSample], clock: StageClock) -> list[SampleOutcome]:
        if not faces:
            return []
        with clock.stage("embed"):
            embeddings = self._embedder.embed(np.stack([face.face_bgr for face in faces]))
        return [
            RejectedSample(face.job.sample.digest, RejectionReason.UNUSABLE_EMBEDDING)
            if embedding is None
            else EmbeddedSample(face.job.sample.digest, face.detection, embedding)
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


def _digests(request: SetRequest) -> list[str]:
    return [*(sample.digest for sample in request.samples), *(known.digest for known in request.known)]
