"""A worker whose stages take known times, asleep: `python -m benchmarks.sleeping_worker PORT`.

It is the real worker process with the real `SetProcessor`, so what waits, batches and is handed on does so as always;
only its networks sleep instead of computing, and decoding sleeps as well before it decodes a tiny picture. Asleep they
share no core, so that many workers can be tried on a small machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from service.assembly import batch_limits, decode_threads
from service.capacity.profile import Cost
from service.engine.worker import serve_jobs
from service.pipeline.sample_stages import DecodedImage, Rejection
from service.pipeline.set_processing import SetProcessor
from service.policies import image_limits
from service.runtime.pack import load_pack
from service.settings import Settings
from service.types import Aggregation, Detection, Embedding, Sample
from service.vision.alignment import arcface_template

STAGES = {
    "decode": Cost(0.0, 0.024),
    "align": Cost(0.0, 0.0),
    "detect": Cost(0.036, 0.018),
    "embed": Cost(0.024, 0.012),
    "aggregate": Cost(0.015, 0.003),
}
"""Seconds by picture, slow enough that what is not asleep needs a fraction of a core. What aligning really takes is
part of what is measured of the worker's own work."""
_FACE = Detection((0.0, 0.0, 112.0, 112.0), 1.0, arcface_template().astype(np.float32))


def _sleep(stage: str, pictures: int) -> None:
    time.sleep(STAGES[stage].of(pictures))


class SleepingDetector:
    def detect(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        _sleep("detect", len(images_bgr))
        return [[_FACE] for _ in images_bgr]

    def refine_landmarks(self, images_bgr: Sequence[NDArray[np.uint8]], faces: Sequence[Detection]) -> list[Detection]:
        return list(faces)


class SleepingEmbedder:
    def __init__(self, width: int) -> None:
        self.width = width

    def embed(self, faces_bgr: NDArray[np.uint8]) -> list[Embedding | None]:
        _sleep("embed", len(faces_bgr))
        return [Embedding(_unit_vector(self.width), 10.0) for _ in faces_bgr]


class SleepingAggregator:
    def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
        _sleep("aggregate", sum(map(len, sets)))
        return [Aggregation(each[0].vector, 10.0, (0,), tuple(repeat(1 / len(each), len(each)))) for each in sets]

    def aggregate_without_each(self, embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
        return np.stack([embedding.vector for embedding in embeddings])


class SleepingProcessor(SetProcessor):
    """The real one, with a decoder that sleeps first."""

    def _decode_samples(self, samples: Sequence[Sample]) -> list[list[DecodedImage | Rejection]]:
        _sleep("decode", len(samples))
        return super()._decode_samples(samples)


def build_processor(settings: Settings, width: int) -> SleepingProcessor:
    return SleepingProcessor(
        SleepingDetector(),
        SleepingEmbedder(width),
        SleepingAggregator(),
        image_limits(settings.limits),
        min_eye_distance_pixels=settings.limits.min_eye_distance_pixels,
        consistency=None,
        batches=batch_limits(settings),
    )


def _unit_vector(width: int) -> NDArray[np.float32]:
    vector = np.random.default_rng().standard_normal(width)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def main() -> None:
    settings = Settings(host="127.0.0.1", worker_port=int(sys.argv[1]))
    pack = load_pack(settings.packs_path / settings.pack)
    processor = build_processor(settings, pack.manifest.embedder.width)
    assert decode_threads(settings) == settings.threads, "set COREFACE_THREADS"
    asyncio.run(serve_jobs(settings, pack.fingerprint, lambda: (processor, "Asleep")))


if __name__ == "__main__":
    main()
