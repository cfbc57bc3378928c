"""From encoded samples to templates, a batch of sets at a time: decode, detect, choose, align, embed, aggregate.

Runs where the models are: in a worker, or in the process of a local engine. Every stage works over all sets of the
batch. Decoded images are the only large thing here, so they are held a bounded number of pixels at a time; what
stays is the 112x112 face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.calibration.quality_scale import QualityScale
from service.errors import CorefaceError, InferenceFailedError, SampleRejectedError
from service.pipeline.quality_gate import admit_sample, refuse_face
from service.pipeline.reports import report_samples
from service.pipeline.settling import settle_set
from service.pipeline.stage_clock import StageClock
from service.pipeline.tracks import track_faces
from service.protocols import FaceDetector, FaceEmbedder, SetAggregator
from service.types import (
    Aggregation,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)
from service.vision.alignment import align_face, arcface_template
from service.vision.clip_structure import sniff_clip
from service.vision.clips import read_frames
from service.vision.consistency import ConsistencyLimits
from service.vision.decoding import decode_image
from service.vision.face_selection import MOST_CANDIDATES, candidate_faces, choose_face
from service.vision.quality import measure_face
from service.vision.report_picture import Thumbnail, Tile, draw_report, make_thumbnail
from service.vision.sniffing import ImageLimits, sniff_image

MOST_EXPLAINED = 64
"""Samples of a set whose template is also made without each of them; the work grows with the square."""
CHUNK_PIXELS = 32_000_000
"""Decoded pixels held at once (96 MB), unless one image alone is larger."""
_WARM_UP_FACE = Detection((40.0, 40.0, 120.0, 140.0), 1.0, (arcface_template() + 24).astype(np.float32))


_Thumbnails = dict[tuple[int, str, float | None], Thumbnail]
"""By set, sample and, of a clip, the time of the frame."""


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
class _DecodedImage:
    """A photograph, or one frame of a clip."""

    job: _Job
    image_bgr: NDArray[np.uint8]  # (H, W, 3)
    seconds: float | None = None
    """Of the frame."""


@dataclass(frozen=True, slots=True)
class _FoundFace:
    image: _DecodedImage
    detection: Detection


@dataclass(frozen=True, slots=True)
class _AlignedFace:
    job: _Job
    detection: Detection
    quality: FaceQuality
    face_bgr: NDArray[np.uint8]  # (112, 112, 3)
    seconds: float | None


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
        consistency: ConsistencyLimits | None,
        quality_scale: QualityScale,
        decode_threads: int,
    ) -> None:
        """`consistency` None: the pack cannot tell whether faces agree."""
        self._detector = detector
        self._embedder = embedder
        self._aggregator = aggregator
        self._limits = limits
        self._min_eye_distance_pixels = min_eye_distance_pixels
        self._consistency = consistency
        self._quality_scale = quality_scale
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
        jobs = [_Job(request, sample) for request in requests for sample in request.samples]
        thumbnails: _Thumbnails = {}
        outcomes = self._embed_jobs(jobs, clock, thumbnails)
        for request in requests:
            for known in request.known:
                outcomes[id(request), known.digest] = admit_sample(known, request.quality_limits)
        # Sorted by digest: neither the order of upload nor what was cached decides how ties in the core fall.
        sorted_outcomes = [
            tuple(outcomes[id(request), digest] for digest in sorted(_digests(request))) for request in requests
        ]
        results = self._aggregate(requests, sorted_outcomes, clock)
        return [
            self._with_picture(request, result, thumbnails) if request.draw else result
            for request, result in zip(requests, results, strict=True)
        ]

    def _embed_jobs(
        self, jobs: Sequence[_Job], clock: StageClock, thumbnails: _Thumbnails
    ) -> dict[tuple[int, str], SampleOutcome]:
        """`thumbnails` gets those of the sets that are drawn."""
        faces: list[_AlignedFace] = []
        rejections: list[_Rejection] = []
        for chunk in self._chunks(jobs):
            for result in self._align_faces(chunk, clock, thumbnails):
                if isinstance(result, _Rejection):
                    rejections.append(result)
                else:
                    faces.append(result)
        embedded: dict[tuple[int, str], list[EmbeddedFace]] = {}
        for face, embedding in zip(faces, self._embed(faces, clock), strict=True):
            if embedding is None:
                reason = RejectionReason.UNUSABLE_EMBEDDING
                rejections.append(_Rejection(face.job, reason, face.detection, face.quality))
            else:
                found = EmbeddedFace(face.detection, face.quality, embedding, face.seconds)
                embedded.setdefault(face.job.key, []).append(found)
        outcomes: dict[tuple[int, str], SampleOutcome] = {}
        for rejection in rejections:
            # Of several rejected faces the first, the largest, is reported.
            outcomes.setdefault(
                rejection.job.key,
                RejectedSample(rejection.job.sample.digest, rejection.reason, rejection.detection, rejection.quality),
            )
        crowded = {rejection.job.key for rejection in rejections if rejection.reason is RejectionReason.SEVERAL_FACES}
        for job in jobs:
            if job.key in embedded and job.key not in crowded:
                sample = _embedded_sample(job, embedded[job.key])
                outcomes[job.key] = admit_sample(sample, job.request.quality_limits)
        return outcomes

    def _chunks(self, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
        chunk: list[_Job] = []
        pixels = 0
        for job in jobs:
            job_pixels = self._pixels(job)
            if chunk and pixels + job_pixels > CHUNK_PIXELS:
                yield chunk
                chunk, pixels = [], 0
            chunk.append(job)
            pixels += job_pixels
        if chunk:
            yield chunk

    def _pixels(self, job: _Job) -> int:
        """Of what decoding the sample makes."""
        if sniff_clip(job.sample.data) is not None:
            return CHUNK_PIXELS
        try:
            header = sniff_image(job.sample.data, self._limits)
        except SampleRejectedError:
            return 0  # decoding will find the reason again and report it
        return header.width * header.height

    def _align_faces(
        self, jobs: Sequence[_Job], clock: StageClock, thumbnails: _Thumbnails
    ) -> list[_AlignedFace | _Rejection]:
        with clock.stage("decode"):
            decoded = [result for results in self._decoders.map(self._decode, jobs) for result in results]
        images = [result for result in decoded if isinstance(result, _DecodedImage)]
        for image in images:
            if image.job.request.draw:
                thumbnails[*image.job.key, image.seconds] = make_thumbnail(image.image_bgr)
        with clock.stage("detect"):
            detections = self._detector.detect([image.image_bgr for image in images]) if images else []
            chosen = [
                result for image, faces in zip(images, detections, strict=True) for result in self._choose(image, faces)
            ]
            found = [result for result in chosen if isinstance(result, _FoundFace)]
            refined = self._detector.refine_landmarks(
                [face.image.image_bgr for face in found], [face.detection for face in found]
            )
        with clock.stage("align"):
            aligned = [self._align(face, detection) for face, detection in zip(found, refined, strict=True)]
        return [*aligned, *(result for result in (*decoded, *chosen) if isinstance(result, _Rejection))]

    def _decode(self, job: _Job) -> list[_DecodedImage | _Rejection]:
        """One image, or the frames of a clip."""
        data = job.sample.data
        clip_format = sniff_clip(data)
        try:
            if clip_format is None:
                return [_DecodedImage(job, decode_image(data, self._limits))]
            frames = read_frames(data, clip_format, self._limits)
        except SampleRejectedError as error:
            return [_Rejection(job, error.reason)]
        return [_DecodedImage(job, frame.image_bgr, frame.seconds) for frame in frames]

    def _choose(self, image: _DecodedImage, detections: Sequence[Detection]) -> list[_FoundFace | _Rejection]:
        policy, least = image.job.request.face_policy, self._min_eye_distance_pixels
        try:
            if policy is FacePolicy.CONSISTENT:
                chosen = candidate_faces(detections, least)
            else:
                chosen = [choose_face(detections, policy, least, image_size=image.image_bgr.shape[:2])]
        except SampleRejectedError as error:
            return [_Rejection(image.job, error.reason)]
        return [_FoundFace(image, detection) for detection in chosen]

    def _align(self, face: _FoundFace, detection: Detection) -> _AlignedFace | _Rejection:
        job = face.image.job
        try:
            aligned = align_face(face.image.image_bgr, detection.landmarks)
        except SampleRejectedError as error:
            return _Rejection(job, error.reason, detection)
        quality = measure_face(aligned, detection.landmarks)
        reason = refuse_face(detection, quality, job.request.quality_limits)
        if reason is not None:
            return _Rejection(job, reason, detection, quality)
        return _AlignedFace(job, detection, quality, aligned, face.image.seconds)

    def _embed(self, faces: Sequence[_AlignedFace], clock: StageClock) -> list[Embedding | None]:
        if not faces:
            return []
        with clock.stage("embed"):
            return self._embedder.embed(np.stack([face.face_bgr for face in faces]))

    def _aggregate(
        self, requests: Sequence[SetRequest], outcomes: Sequence[tuple[SampleOutcome, ...]], clock: StageClock
    ) -> list[SetResult]:
        settled = [
            settle_set(set_outcomes, request.face_policy, request.consistency_policy, self._consistency)
            for request, set_outcomes in zip(requests, outcomes, strict=True)
        ]
        sets: list[list[Embedding]] = [
            [outcome.embedding for outcome in each.outcomes if isinstance(outcome, EmbeddedSample)] for each in settled
        ]
        with clock.stage("aggregate"):
            aggregations = iter(self._aggregator.aggregate([embeddings for embeddings in sets if embeddings]))
            explained = [self._explain(next(aggregations), embeddings) if embeddings else None for embeddings in sets]
        return [
            SetResult(
                request_id=request.request_id,
                outcomes=each.outcomes,
                aggregation=aggregation,
                stage_seconds=clock.seconds,
                groups=each.groups,
            )
            for request, each, aggregation in zip(requests, settled, explained, strict=True)
        ]

    def _with_picture(self, request: SetRequest, result: SetResult, thumbnails: _Thumbnails) -> SetResult:
        digests = [sample.digest for sample in request.samples]
        reports = report_samples(digests, result.outcomes, result.groups, result.aggregation, self._quality_scale)
        tiles = [Tile(thumbnails.get((id(request), report.digest, report.seconds)), report) for report in reports]
        return replace(result, picture=draw_report(tiles))

    def _explain(self, aggregation: Aggregation, embeddings: Sequence[Embedding]) -> Aggregation:
        if not 2 <= len(embeddings) <= MOST_EXPLAINED:
            return aggregation
        return replace(aggregation, without=self._aggregator.aggregate_without_each(embeddings))


def _embedded_sample(job: _Job, faces: Sequence[EmbeddedFace]) -> EmbeddedSample:
    """The faces of one image as they were found; those of a clip by person."""
    if faces[0].seconds is not None:
        times = [face.seconds for face in faces]
        tracks = track_faces(faces, [times.index(time) for time in times])
        faces = tracks[:MOST_CANDIDATES] if job.request.face_policy is FacePolicy.CONSISTENT else tracks[:1]
    return EmbeddedSample(job.sample.digest, faces[0], tuple(faces[1:]))


def _digests(request: SetRequest) -> list[str]:
    return [*(sample.digest for sample in request.samples), *(known.digest for known in request.known)]
