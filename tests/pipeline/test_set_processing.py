"""Order and policy of the stages, on real decoding and alignment with fake networks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.calibration.quality_scale import QualityScale
from service.errors import DeadlineExceededError, InferenceFailedError, OutOfMemoryError
from service.pipeline import set_processing
from service.pipeline.batch_limits import BatchLimits
from service.pipeline.reports import report_samples
from service.pipeline.sample_stages import DecodedImage, Rejection, _choose
from service.pipeline.set_keys import digest_sample
from service.pipeline.set_processing import SetProcessor
from service.pipeline.stages import StageRunner
from service.types import (
    Aggregation,
    ConsistencyPolicy,
    Detection,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    LeftOutSample,
    RejectedSample,
    RejectionReason,
    Sample,
    SetRequest,
    SetResult,
)
from service.vision import decoding_cost, jpeg_structure
from service.vision.consistency import ConsistencyLimits
from service.vision.jpeg_structure import JpegScans
from service.vision.sniffing import ImageLimits
from tests.hostile.photographs import encode
from tests.pipeline.fakes import embed

LIMITS = ImageLimits(max_pixels=1_000_000, max_side=4000, max_jpeg_scans=100, max_scan_megapixels=250.0)
LANDMARKS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)
ROOMY = BatchLimits(images=32, faces=32, parallel=1)
DARK = 20
"""Pictures darker than this hold no face, for the fake detector."""


def picture(brightness: int, side: int = 112) -> bytes:
    done, encoded = cv2.imencode(".png", np.full((side, side, 3), brightness, np.uint8))
    assert done
    return encoded.tobytes()


class Detector:
    """One face per picture; none in dark ones, two in white ones."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def detect(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        self.batches.append(len(images_bgr))
        assert self.gate.wait(60.0)
        if len(images_bgr) > 2 and any(int(image[0, 0, 0]) == 77 for image in images_bgr):
            raise OutOfMemoryError("too many images")
        return [self._faces(int(image[0, 0, 0])) for image in images_bgr]

    def refine_landmarks(self, images_bgr: Sequence[NDArray[np.uint8]], faces: Sequence[Detection]) -> list[Detection]:
        """One pixel to the right, so that a test sees whose landmarks were used."""
        assert len(images_bgr) == len(faces)
        return [replace(face, landmarks=face.landmarks + np.float32([1, 0])) for face in faces]

    def _faces(self, brightness: int) -> list[Detection]:
        large = Detection((0.0, 0.0, 100.0, 100.0), 0.9, LANDMARKS)
        small = Detection((0.0, 0.0, 20.0, 20.0), 0.95, LANDMARKS / 2)
        if brightness < DARK:
            return []
        return [small, large] if brightness == 255 else [large]


class Embedder:
    """Dark pictures are of one person, bright ones of another; 200 gives nothing usable, 201 raises."""

    width = 258

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, faces_bgr: NDArray[np.uint8]) -> list[Embedding | None]:
        self.batches.append(len(faces_bgr))
        levels = [int(face[56, 56, 0]) for face in faces_bgr]
        if 201 in levels:
            raise InferenceFailedError("broken")
        if len(levels) > 2 and 78 in levels:
            raise OutOfMemoryError("too many faces")
        return [None if level == 200 else self._embedding(level) for level in levels]

    def _embedding(self, level: int) -> Embedding:
        vector = np.zeros(258, np.float32)
        vector[int(level >= 128)], vector[2 + level] = 0.8, 0.6
        return Embedding(vector, 5.0 + level / 255.0)


class Aggregator:
    """The first embedding of each set."""

    def aggregate_without_each(self, embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
        return np.stack([embeddings[int(index == 0)].vector for index in range(len(embeddings))])

    def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
        return [
            Aggregation(embeddings[0].vector, embeddings[0].norm, (0,), (1.0, *[0.0 for _ in embeddings[1:]]))
            for embeddings in sets
        ]


class Rig:
    """A processor with its threads, and as many sets at once as a test asks for."""

    def __init__(self, consistency: ConsistencyLimits | None = None, batches: BatchLimits = ROOMY) -> None:
        self.detector = Detector()
        self.embedder = Embedder()
        self.processor = SetProcessor(
            self.detector,
            self.embedder,
            Aggregator(),
            LIMITS,
            min_eye_distance_pixels=8.0,
            consistency=consistency,
            batches=batches,
        )
        self.device, self.decoders = StageRunner("device", threads=batches.parallel), StageRunner("decode", threads=2)
        self.processor.attach(self.device, self.decoders)

    def answers(self, *requests: SetRequest) -> list[SetResult | BaseException]:
        async def together() -> list[SetResult | BaseException]:
            deadline = time.monotonic() + 60.0
            return await asyncio.gather(
                *(self.processor.process(request, deadline) for request in requests), return_exceptions=True
            )

        return asyncio.run(together())

    def process(self, *requests: SetRequest) -> list[SetResult]:
        results = []
        for result in self.answers(*requests):
            assert isinstance(result, SetResult), result
            results.append(result)
        return results


@contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    rig.device.start()
    rig.decoders.start()
    yield rig
    rig.device.stop()
    rig.decoders.stop()


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running(Rig()) as started:
        yield started


def request(
    *samples: bytes, known: Sequence[EmbeddedSample] = (), policy: FacePolicy = FacePolicy.LARGEST
) -> SetRequest:
    return SetRequest(
        request_id=digest_sample(b"".join(samples))[:8],
        samples=tuple(Sample(digest_sample(data), data) for data in samples),
        known=tuple(known),
        face_policy=policy,
        fingerprint="pack",
        timeout_s=10.0,
    )


def reasons(result: SetResult) -> dict[str, RejectionReason | None]:
    return {
        outcome.digest: outcome.reason if isinstance(outcome, LeftOutSample | RejectedSample) else None
        for outcome in result.outcomes
    }


def test_a_set_is_embedded_and_aggregated_in_the_order_of_its_digests(rig: Rig) -> None:
    samples = [picture(level) for level in (50, 100, 150)]
    (result,) = rig.process(request(*samples))
    assert [outcome.digest for outcome in result.outcomes] == sorted(digest_sample(data) for data in samples)
    first = result.outcomes[0]
    assert isinstance(first, EmbeddedSample)
    assert result.aggregation is not None
    assert np.array_equal(result.aggregation.vector, first.embedding.vector)
    assert set(result.stage_seconds) == {"decode", "detect", "align", "embed", "aggregate"}


def test_sets_that_wait_for_a_stage_share_one_forward_pass(rig: Rig) -> None:
    rig.detector.gate.clear()
    sets = [request(picture(level), picture(level + 1)) for level in (50, 60, 70)]

    async def all_of_them() -> list[SetResult]:
        deadline = time.monotonic() + 60.0
        first = asyncio.create_task(rig.processor.process(sets[0], deadline))
        while not rig.detector.batches:  # noqa: ASYNC110 (it is called in another thread)
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(rig.processor.process(each, deadline)) for each in sets[1:]]
        while len(rig.processor._detect.jobs) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        rig.detector.gate.set()
        return await asyncio.gather(first, *rest)

    results = asyncio.run(all_of_them())
    assert rig.detector.batches == [2, 4]
    assert sum(rig.embedder.batches) == 6
    assert [len(result.outcomes) for result in results] == [2, 2, 2]


def test_the_same_sample_in_two_sets_is_kept_apart(rig: Rig) -> None:
    shared = picture(50)
    left, right = rig.process(request(shared, picture(5)), request(shared, policy=FacePolicy.ONLY))
    assert reasons(left) == {digest_sample(shared): None, digest_sample(picture(5)): RejectionReason.NO_FACE}
    assert reasons(right) == {digest_sample(shared): None}


def test_bad_samples_are_rejected_alone(rig: Rig) -> None:
    good, dark, unusable, large = picture(50), picture(5), picture(200), picture(90, side=1001)
    broken = picture(60)[:-30]
    (result,) = rig.process(request(good, dark, unusable, large, broken, b"text"))
    assert reasons(result) == {
        digest_sample(good): None,
        digest_sample(dark): RejectionReason.NO_FACE,
        digest_sample(unusable): RejectionReason.UNUSABLE_EMBEDDING,
        digest_sample(large): RejectionReason.TOO_MANY_PIXELS,
        digest_sample(broken): RejectionReason.UNREADABLE,
        digest_sample(b"text"): RejectionReason.UNSUPPORTED_TYPE,
    }
    assert result.aggregation is not None
    assert len(result.aggregation.weights) == 1


def test_a_set_without_a_usable_sample_has_no_aggregation(rig: Rig) -> None:
    (result,) = rig.process(request(picture(5)))
    assert result.aggregation is None
    assert rig.embedder.batches == []


def test_the_policy_chooses_the_face(rig: Rig) -> None:
    white = picture(255)
    largest, only = rig.process(request(white), request(white, policy=FacePolicy.ONLY))
    outcome = largest.outcomes[0]
    assert isinstance(outcome, EmbeddedSample)
    assert outcome.face.detection.box == (0.0, 0.0, 100.0, 100.0)
    assert reasons(only) == {digest_sample(white): RejectionReason.SEVERAL_FACES}


def test_under_the_policy_consistent_every_usable_face_is_embedded(rig: Rig) -> None:
    white = picture(255)
    (result,) = rig.process(request(white, picture(50), policy=FacePolicy.CONSISTENT))
    assert rig.embedder.batches == [3]
    (several,) = [outcome for outcome in result.outcomes if outcome.digest == digest_sample(white)]
    assert isinstance(several, EmbeddedSample)
    assert len(several.others) == 1


def test_faces_that_do_not_agree_are_grouped_and_dropped_before_aggregation() -> None:
    alike, other = [picture(level) for level in (50, 52, 54)], picture(150)
    asked = request(*alike, other)
    with running(Rig(ConsistencyLimits((1.0,), (0.5,)))) as rig:
        (warned,) = rig.process(asked)
        (dropped,) = rig.process(replace(asked, consistency_policy=ConsistencyPolicy.DROP))
        (refused,) = rig.process(replace(asked, consistency_policy=ConsistencyPolicy.REFUSE))
    place = sorted(digest_sample(data) for data in (*alike, other)).index(digest_sample(other))
    assert warned.groups == dropped.groups == refused.groups == tuple(int(index == place) for index in range(4))
    assert warned.aggregation is not None and len(warned.aggregation.weights) == 4
    assert dropped.aggregation is not None and len(dropped.aggregation.weights) == 3
    assert reasons(dropped)[digest_sample(other)] is RejectionReason.INCONSISTENT
    assert refused.aggregation is None


def test_a_set_is_drawn_when_asked_for_as_its_lines_say(rig: Rig) -> None:
    pictures = [picture(90), picture(5), picture(50)]
    digests = [digest_sample(data) for data in (pictures[0], pictures[1], b"", pictures[2])]
    rejected = [RejectedSample(digest, RejectionReason.NO_FACE) for digest in digests]
    lines = report_samples(digests, rejected, [None] * 4, None, QualityScale(None))
    plain, drawn = rig.process(request(*pictures), replace(request(*pictures), draw=lines))
    assert plain.picture is None
    assert reasons(drawn) == reasons(plain)
    assert drawn.picture is not None
    sheet = cv2.imdecode(np.frombuffer(drawn.picture, np.uint8), cv2.IMREAD_COLOR)
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 2
    spots = [tuple(sheet[row * height + 15, column * width + width // 2]) for row in (0, 1) for column in (0, 1)]
    assert [spots[0], spots[1], spots[3]] == [(90, 90, 90), (5, 5, 5), (50, 50, 50)]
    assert spots[2] == (225, 225, 225), "an empty tile"
    red = (np.abs(sheet.astype(int) - (50, 50, 200)).max(axis=2) < 20).any(axis=1)
    assert red[: 2 * height].sum() > 0, "the lines reject all four, whatever this processor would make of them"


def test_known_embeddings_join_without_being_computed(rig: Rig) -> None:
    known = embed("0" * 64, width=Embedder.width)
    (result,) = rig.process(request(picture(50), known=[known]))
    assert result.outcomes[0] is known
    assert rig.embedder.batches == [1]


def test_a_set_that_breaks_the_batch_fails_alone(rig: Rig) -> None:
    left, broken, right = rig.answers(request(picture(50)), request(picture(201)), request(picture(70)))
    assert isinstance(left, SetResult)
    assert isinstance(broken, InferenceFailedError)
    assert isinstance(right, SetResult)


def test_memory_that_runs_out_for_many_samples_of_a_set_does_for_fewer(rig: Rig) -> None:
    levels = (77, 78, 50, 51, 52)
    (result,) = rig.process(request(*(picture(level) for level in levels)))
    assert reasons(result) == {digest_sample(picture(level)): None for level in levels}
    assert max(rig.detector.batches) == max(rig.embedder.batches) == 5


def test_decoded_pixels_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_processing, "CHUNK_PIXELS", 2 * 112 * 112)
    rig.process(request(*(picture(level) for level in range(50, 55))))
    assert rig.detector.batches == [2, 2, 1]
    assert rig.embedder.batches == [5]


def test_a_forward_pass_of_the_embedder_holds_so_many_faces_at_most() -> None:
    with running(Rig(batches=BatchLimits(32, 2, 1))) as rig:
        rig.process(request(*(picture(level) for level in range(50, 55))))
        assert rig.embedder.batches == [1, 2, 2]


def test_a_set_is_shared_out_over_the_threads_of_the_device() -> None:
    with running(Rig(batches=BatchLimits(32, 32, 2))) as rig:
        [result] = rig.process(request(*(picture(level) for level in range(50, 55))))
        assert sorted(rig.detector.batches) == sorted(rig.embedder.batches) == [2, 3]
        assert len(result.outcomes) == 5


def test_past_its_deadline_a_set_is_given_up(rig: Rig) -> None:
    async def late() -> SetResult:
        return await rig.processor.process(request(picture(50)), time.monotonic() - 1.0)

    with pytest.raises(DeadlineExceededError):
        asyncio.run(late())
    assert rig.detector.batches == []


def test_warm_up_refuses_an_embedder_that_answers_nothing(rig: Rig) -> None:
    rig.processor.warm_up()
    rig.embedder._embedding = lambda level: None  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(InferenceFailedError):
        rig.processor.warm_up()


def test_an_animation_is_reported_as_a_clip_of_its_first_frame(rig: Rig) -> None:
    frames = [Image.fromarray(np.full((112, 112, 3), level, np.uint8)) for level in (50, 250)]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    (result,) = rig.process(request(data, picture(60)))
    seconds = {
        outcome.digest: outcome.face.seconds for outcome in result.outcomes if isinstance(outcome, EmbeddedSample)
    }
    assert seconds == {digest_sample(data): 0.0, digest_sample(picture(60)): None}


def test_a_picture_decoded_at_half_its_sides_is_reported_in_its_own_pixels(rig: Rig) -> None:
    whole = encode(np.full((400, 600, 3), 50, np.uint8), "JPEG", progressive=True, comment=b"x")
    costs = [decoding_cost.jpeg_cost(jpeg_structure.read_frame(whole), JpegScans(10, 5_000), scale) for scale in (1, 2)]
    rig.processor._limits = replace(LIMITS, max_decode_ms=(costs[0].milliseconds + costs[1].milliseconds) / 2)
    (result,) = rig.process(request(whole))
    (outcome,) = result.outcomes
    assert isinstance(outcome, EmbeddedSample)
    assert outcome.face.detection.box == (0.5, 0.5, 200.5, 200.5)
    expected = (LANDMARKS + np.float32([1, 0])) * 2 + 0.5
    np.testing.assert_allclose(outcome.face.detection.landmarks, expected, atol=1e-4)


def test_the_smallest_face_is_measured_in_pixels_of_the_picture_that_was_sent() -> None:
    detection = Detection((0.0, 0.0, 20.0, 20.0), 0.9, LANDMARKS / 4)
    image = np.zeros((50, 50, 3), np.uint8)
    for scale, small in ((1, True), (2, False)):
        [found] = _choose(DecodedImage("x", image, None, scale), [detection], FacePolicy.LARGEST, 12.0)
        assert isinstance(found, Rejection) is small
