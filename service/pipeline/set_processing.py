"""From encoded samples to a template: decode, detect and choose, align, embed, aggregate.

Runs where the models are: in a worker, or in the process of a local engine. Every set goes its own way through the
stages; each stage batches what waits over all sets (`stages`). The networks run in the threads of the device: one pass
at a time on a GPU and up to one for each core of a CPU, over which a set's work is shared out. Decoding and alignment
run in threads of their own beside them. Decoded images are the only large thing here, so they are held a bounded number
of pixels at a time; what stays is the 112x112 face.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from service.errors import InferenceFailedError, OutOfMemoryError
from service.pipeline.batch_limits import BatchLimits, share_out
from service.pipeline.pixel_budget import PixelBudget
from service.pipeline.quality_gate import admit_sample
from service.pipeline.sample_stages import (
    AlignedFace,
    DecodedImage,
    DetectionTask,
    FoundFace,
    Rejection,
    align_found_face,
    decode_sample,
    decoded_pixels,
    find_faces,
)
from service.pipeline.settling import SettledSet, settle_set
from service.pipeline.stage_clock import StageClock
from service.pipeline.stages import StageRunner
from service.pipeline.tracks import track_faces
from service.protocols import FaceDetector, FaceEmbedder, SetAggregator
from service.types import (
    Aggregation,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    QualityLimits,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)
from service.vision.alignment import arcface_template
from service.vision.consistency import ConsistencyLimits
from service.vision.face_selection import MOST_CANDIDATES
from service.vision.report_picture import Thumbnail, Tile, draw_report, make_thumbnail
from service.vision.sniffing import ImageLimits

MOST_EXPLAINED = 64
"""Samples of a set whose template is also made without each of them; the work grows with the square."""
MOST_PIXELS = 32_000_000
"""Decoded pixels held at once over all sets (96 MB), unless one image alone is larger."""
CHUNK_PIXELS = MOST_PIXELS // 2
"""Of one set at once, so that the next images are decoded while faces are looked for in these."""
_SETS_PER_BATCH = 32
_WARM_UP_FACE = Detection((40.0, 40.0, 120.0, 140.0), 1.0, (arcface_template() + 24).astype(np.float32))

_Part = TypeVar("_Part")
_Outcome = TypeVar("_Outcome")
_Thumbnails = dict[tuple[str, float | None], Thumbnail]
"""By sample and, of a clip, the time of the frame."""


@dataclass(frozen=True, slots=True)
class _AlignmentTask:
    faces: tuple[FoundFace, ...]
    limits: QualityLimits
    shown: tuple[DecodedImage, ...]
    """Those that a drawn set needs thumbnails of."""


@dataclass(frozen=True, slots=True)
class _EmbeddedSet:
    """A set on its way to the last stage."""

    request: SetRequest
    faces: tuple[AlignedFace, ...]
    embeddings: tuple[Embedding | None, ...]
    """One per face."""
    rejections: tuple[Rejection, ...]
    thumbnails: _Thumbnails
    """Of a set that is drawn."""


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
        batches: BatchLimits,
    ) -> None:
        """`consistency` None: the pack cannot tell whether faces agree."""
        self._detector = detector
        self._embedder = embedder
        self._aggregator = aggregator
        self._limits = limits
        self._min_eye_distance_pixels = min_eye_distance_pixels
        self._consistency = consistency
        self._batches = batches
        self._pixels = PixelBudget(MOST_PIXELS)

    def attach(self, device: StageRunner, decoders: StageRunner) -> None:
        """Add the stages of the networks to the threads of the device, the others to those of the decoders."""
        self._decode = decoders.add_stage("decode", self._decode_samples, max_cost=1)
        self._align = decoders.add_stage("align", self._align_faces, max_cost=1)
        self._detect = device.add_stage("detect", self._find_faces, max_cost=self._batches.images)
        self._embed = device.add_stage("embed", self._embed_faces, max_cost=self._batches.faces)
        self._aggregate = device.add_stage("aggregate", self._finish_sets, max_cost=_SETS_PER_BATCH)

    def warm_up(self) -> None:
        """Run every network once, so that the first request does not pay for it. Raises `InferenceFailedError`."""
        grey = [np.full((side, side, 3), 128, np.uint8) for side in (160, 640)]
        self._detector.detect(grey)
        self._detector.refine_landmarks(grey[:1], [_WARM_UP_FACE])
        embedding = self._embedder.embed(np.full((1, 112, 112, 3), 128, np.uint8))[0]
        if embedding is None:
            raise InferenceFailedError("The embedder answers nothing usable on a grey image.")
        self._aggregator.aggregate([[embedding]])

    async def process(self, request: SetRequest, deadline: float) -> SetResult:
        """What became of a set, before `deadline` (monotonic seconds). Raises `DeadlineExceededError`,
        `NotReadyError`, `InferenceFailedError`, `OutOfMemoryError`."""
        clock = StageClock()
        faces: list[AlignedFace] = []
        rejections: list[Rejection] = []
        thumbnails: _Thumbnails = {}
        for samples, pixels in self._chunks(request.samples):
            async with self._pixels.hold(pixels):
                for result in await self._align_samples(request, samples, deadline, clock, thumbnails):
                    if isinstance(result, Rejection):
                        rejections.append(result)
                    else:
                        faces.append(result)
        embeddings: list[Embedding | None] = []
        with clock.stage("embed"):
            embeddings += await self._share_out(
                lambda share: self._embed.submit(share, cost=len(share), deadline=deadline),
                faces,
                self._batches.faces,
            )
        task = _EmbeddedSet(request, tuple(faces), tuple(embeddings), tuple(rejections), thumbnails)
        with clock.stage("aggregate"):
            finished = await self._aggregate.submit(task, deadline=deadline)
        return replace(finished, stage_seconds=clock.seconds)

    def _chunks(self, samples: Sequence[Sample]) -> Iterator[tuple[list[Sample], int]]:
        """Samples that are decoded together, and their pixels."""
        chunk: list[Sample] = []
        pixels = 0
        for sample in samples:
            sample_pixels = decoded_pixels(sample, self._limits, CHUNK_PIXELS)
            if chunk and pixels + sample_pixels > CHUNK_PIXELS:
                yield chunk, pixels
                chunk, pixels = [], 0
            chunk.append(sample)
            pixels += sample_pixels
        if chunk:
            yield chunk, pixels

    async def _align_samples(
        self,
        request: SetRequest,
        samples: Sequence[Sample],
        deadline: float,
        clock: StageClock,
        thumbnails: _Thumbnails,
    ) -> list[AlignedFace | Rejection]:
        with clock.stage("decode"):
            answers = await asyncio.gather(*(self._decode.submit(sample, deadline=deadline) for sample in samples))
        decoded = [result for results in answers for result in results]
        images = tuple(result for result in decoded if isinstance(result, DecodedImage))
        rejected = [result for result in decoded if isinstance(result, Rejection)]
        with clock.stage("detect"):
            chosen = await self._share_out(
                lambda share: self._detect.submit(
                    DetectionTask(tuple(share), request.face_policy), cost=len(share), deadline=deadline
                ),
                images,
                self._batches.images,
            )
        found = tuple(result for result in chosen if isinstance(result, FoundFace))
        rejected += [result for result in chosen if isinstance(result, Rejection)]
        with clock.stage("align"):
            aligned, shown = await self._align.submit(
                _AlignmentTask(found, request.quality_limits, images if request.draw else ()), deadline=deadline
            )
        thumbnails.update(shown)
        return [*aligned, *rejected]

    async def _share_out(
        self, submit: Callable[[Sequence[_Part]], Awaitable[list[_Outcome]]], parts: Sequence[_Part], most: int
    ) -> list[_Outcome]:
        """What the stage answers for the parts of one set, all shares of them at once."""
        shares = share_out(parts, most, self._batches.parallel)
        return [
            outcome
            for outcomes in await asyncio.gather(*(_within_memory(submit, share) for share in shares))
            for outcome in outcomes
        ]

    def _decode_samples(self, samples: Sequence[Sample]) -> list[list[DecodedImage | Rejection]]:
        return [decode_sample(sample, self._limits) for sample in samples]

    def _find_faces(self, tasks: Sequence[DetectionTask]) -> list[list[FoundFace | Rejection]]:
        return find_faces(tasks, self._detector, self._min_eye_distance_pixels)

    def _align_faces(self, tasks: Sequence[_AlignmentTask]) -> list[tuple[list[AlignedFace | Rejection], _Thumbnails]]:
        return [
            (
                [align_found_face(face, task.limits) for face in task.faces],
                {(image.digest, image.seconds): make_thumbnail(image.image_bgr, image.scale) for image in task.shown},
            )
            for task in tasks
        ]

    def _embed_faces(self, tasks: Sequence[Sequence[AlignedFace]]) -> list[list[Embedding | None]]:
        """All faces of all tasks together."""
        embeddings = iter(self._embedder.embed(np.stack([face.face_bgr for faces in tasks for face in faces])))
        return [[next(embeddings) for _ in faces] for faces in tasks]

    def _finish_sets(self, tasks: Sequence[_EmbeddedSet]) -> list[SetResult]:
        settled = [self._settle(task) for task in tasks]
        sets: list[list[Embedding]] = [
            [outcome.embedding for outcome in each.outcomes if isinstance(outcome, EmbeddedSample)] for each in settled
        ]
        aggregations = iter(self._aggregator.aggregate([embeddings for embeddings in sets if embeddings]))
        explained = [self._explain(next(aggregations), embeddings) if embeddings else None for embeddings in sets]
        return [
            self._finish(task, each, aggregation)
            for task, each, aggregation in zip(tasks, settled, explained, strict=True)
        ]

    def _settle(self, task: _EmbeddedSet) -> SettledSet:
        request = task.request
        outcomes = _outcomes(task)
        for known in request.known:
            outcomes[known.digest] = admit_sample(known, request.quality_limits)
        # Sorted by digest: neither the order of upload nor what was cached decides how ties in the core fall.
        ordered = [outcomes[digest] for digest in sorted(outcomes)]
        return settle_set(ordered, request.face_policy, request.consistency_policy, self._consistency)

    def _explain(self, aggregation: Aggregation, embeddings: Sequence[Embedding]) -> Aggregation:
        if not 2 <= len(embeddings) <= MOST_EXPLAINED:
            return aggregation
        return replace(aggregation, without=self._aggregator.aggregate_without_each(embeddings))

    def _finish(self, task: _EmbeddedSet, settled: SettledSet, aggregation: Aggregation | None) -> SetResult:
        result = SetResult(task.request.request_id, settled.outcomes, aggregation, {}, settled.groups)
        if not task.request.draw:
            return result
        tiles = [Tile(task.thumbnails.get((line.digest, line.seconds)), line) for line in task.request.draw]
        return replace(result, picture=draw_report(tiles))


async def _within_memory(
    submit: Callable[[Sequence[_Part]], Awaitable[list[_Outcome]]], parts: Sequence[_Part]
) -> list[_Outcome]:
    """What `submit` answers for some parts of one set, together or, where memory runs out, by halves. Raises
    `OutOfMemoryError` for one part alone."""
    try:
        return await submit(parts)
    except OutOfMemoryError:
        if len(parts) == 1:
            raise
    middle = len(parts) // 2
    return await _within_memory(submit, parts[:middle]) + await _within_memory(submit, parts[middle:])


def _outcomes(task: _EmbeddedSet) -> dict[str, SampleOutcome]:
    """Of each sample that was sent, by digest."""
    embedded: dict[str, list[EmbeddedFace]] = {}
    rejections = list(task.rejections)
    for face, embedding in zip(task.faces, task.embeddings, strict=True):
        if embedding is None:
            reason = RejectionReason.UNUSABLE_EMBEDDING
            rejections.append(Rejection(face.digest, reason, face.detection, face.quality))
        else:
            found = EmbeddedFace(face.detection, face.quality, embedding, face.seconds)
            embedded.setdefault(face.digest, []).append(found)
    outcomes: dict[str, SampleOutcome] = {}
    for rejection in rejections:
        # Of several rejected faces the first, the largest, is reported.
        rejected = RejectedSample(rejection.digest, rejection.reason, rejection.detection, rejection.quality)
        outcomes.setdefault(rejection.digest, rejected)
    crowded = {rejection.digest for rejection in rejections if rejection.reason is RejectionReason.SEVERAL_FACES}
    for digest in embedded.keys() - crowded:
        sample = _embedded_sample(digest, embedded[digest], task.request.face_policy)
        outcomes[digest] = admit_sample(sample, task.request.quality_limits)
    return outcomes


def _embedded_sample(digest: str, faces: Sequence[EmbeddedFace], face_policy: FacePolicy) -> EmbeddedSample:
    """The faces of one image as they were found; those of a clip by person."""
    if faces[0].seconds is not None:
        times = [face.seconds for face in faces]
        tracks = track_faces(faces, [times.index(time) for time in times])
        faces = tracks[:MOST_CANDIDATES] if face_policy is FacePolicy.CONSISTENT else tracks[:1]
    return EmbeddedSample(digest, faces[0], tuple(faces[1:]))
