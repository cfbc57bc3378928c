"""Canvases, batches and turns, on a detector whose network sees bright squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.types import Detection
from service.vision.alignment import arcface_template
from service.vision.candidates import BatchCandidates, Candidates, join_batches
from service.vision.detection import CanvasDetector, cell_origins
from service.vision.landmark_views import LandmarkView
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from tests.vision.fake_session import FakeSession


class SpotDetector(CanvasDetector):
    """Finds the pixels above 200 of each canvas as one box; its score is the brightness of the red channel."""

    images_per_pass = 3

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], batch: int, side: int) -> BatchCandidates:
        return join_batches([(row, self._read(image)) for row, image in enumerate(np.asarray(outputs[0], np.float32))])

    def _read(self, image: NDArray[np.float32]) -> BatchCandidates:
        spots = np.argwhere(image[1] > 200)
        box = np.zeros((0, 4), np.float32)
        score = np.zeros(0, np.float32)
        if len(spots):
            top, left = spots.min(axis=0)
            bottom, right = spots.max(axis=0)
            box = np.array([[left, top, right, bottom]], np.float32)
            score = image[2, top, left][None] / 255
        candidates = Candidates(score, box, np.repeat(box[:, None, :2], 5, axis=1))
        return BatchCandidates(candidates, np.zeros(len(box), np.intp))


def echo(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    return [inputs["image"]]


def make_detector(
    session: FakeSession, *, turn_below_score: float = 0.0, landmark_views: Sequence[LandmarkView] = ()
) -> SpotDetector:
    return SpotDetector(
        SessionOnPixels(session, PixelRange("bgr", 0.0, 1.0)),
        canvas_sides=(64, 128),
        upscale=False,
        score_threshold=0.5,
        nms_iou=0.3,
        turn_below_score=turn_below_score,
        landmark_views=landmark_views,
    )


def spotted(height: int, width: int, x: int, y: int, size: int = 4) -> NDArray[np.uint8]:
    image_bgr = np.zeros((height, width, 3), np.uint8)
    image_bgr[y : y + size, x : x + size] = 255
    return image_bgr


def test_each_image_gets_its_own_answer_in_its_own_pixels() -> None:
    images = [spotted(60, 40, 5, 9), spotted(100, 100, 80, 20), spotted(40, 64, 50, 30), spotted(50, 50, 1, 2)]
    session = FakeSession(echo)
    faces = make_detector(session).detect(images)
    assert [found[0].box[:2] for found in faces] == [(5, 9), (80, 20), (50, 30), (1, 2)]
    assert [inputs["image"].shape for inputs in session.passes] == [(1, 3, 128, 128), (3, 3, 64, 64)]


def test_batches_are_bounded_and_do_not_change_answers() -> None:
    images = [spotted(60, 60, index, 2 * index) for index in range(8)]
    session = FakeSession(echo)
    detector = make_detector(session)
    together = detector.detect(images)
    assert [len(inputs["image"]) for inputs in session.passes] == [3, 3, 2]
    alone = [detector.detect([image])[0] for image in images]
    assert [found[0].box for found in together] == [found[0].box for found in alone]


def test_a_large_image_without_a_find_is_tried_on_the_smaller_canvas() -> None:
    def blind_on_the_large_canvas(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        image = inputs["image"]
        return [np.zeros_like(image) if image.shape[2] == 128 else image]

    session = FakeSession(blind_on_the_large_canvas)
    faces = make_detector(session).detect([spotted(256, 256, 128, 64, size=32), np.zeros((100, 10, 3), np.uint8)])
    assert faces[1] == []
    [face] = faces[0]
    assert face.box[:2] == pytest.approx((128, 64), abs=4)
    assert [inputs["image"].shape[2] for inputs in session.passes] == [128, 64]


def test_no_images_need_no_pass() -> None:
    session = FakeSession(echo)
    assert make_detector(session).detect([]) == []
    assert session.passes == []


class UprightSession(FakeSession):
    """Sees the spot at full score only when it lies in the top left quarter."""

    def __init__(self) -> None:
        super().__init__(self._see)

    def _see(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        image = np.array(inputs["image"])
        for canvas in image:
            if not canvas[1, :30, :30].any():
                canvas[2] *= 0.6
        return [image]


def test_a_doubtful_image_is_tried_in_its_quarter_turns() -> None:
    lying = spotted(60, 60, 50, 4)
    detector = make_detector(UprightSession(), turn_below_score=0.89)
    upright, turned = detector.detect([spotted(60, 60, 8, 4), lying])
    assert upright[0].score == turned[0].score == 1
    assert turned[0].box == (50, 4, 53, 7)


def test_without_the_setting_nothing_is_turned() -> None:
    session = UprightSession()
    [faces] = make_detector(session).detect([spotted(60, 60, 50, 4)])
    assert faces[0].score == pytest.approx(0.6)
    assert len(session.passes) == 1


FACE = Detection((20.0, 20.0, 80.0, 90.0), 0.9, (arcface_template() * 0.5 + 20).astype(np.float32))


def test_landmarks_are_the_mean_over_views_and_their_mirror_images() -> None:
    session = FakeSession(echo)
    detector = make_detector(session, landmark_views=[LandmarkView(64, 16), LandmarkView(128, 48)])
    nose = FACE.landmarks[2]
    image_bgr = spotted(120, 120, round(float(nose[0])) - 3, round(float(nose[1])) - 3, size=7)
    refined = detector.refine_landmarks([image_bgr] * 4, [FACE] * 4)
    assert [inputs["image"].shape for inputs in session.passes] == [
        (count, 3, side, side) for side in (64, 128) for count in (3, 3, 2)
    ]
    for face in refined:
        assert (face.box, face.score) == (FACE.box, FACE.score)
        # The spot's corner is all that this network answers: top left of the plain view, top right of the mirrored.
        assert face.landmarks == pytest.approx(np.repeat([nose - [0, 3]], 5, axis=0), abs=1.0)
    assert all(np.array_equal(face.landmarks, refined[0].landmarks) for face in refined)


def test_a_view_that_shows_nothing_leaves_the_landmarks() -> None:
    detector = make_detector(FakeSession(echo), landmark_views=[LandmarkView(64, 16)])
    [refined] = detector.refine_landmarks([np.zeros((120, 120, 3), np.uint8)], [FACE])
    assert refined.landmarks == pytest.approx(FACE.landmarks)


def test_without_views_landmarks_stay_and_no_pass_is_made() -> None:
    session = FakeSession(echo)
    assert make_detector(session).refine_landmarks([spotted(60, 60, 8, 4)], [FACE]) == [FACE]
    assert session.passes == []


def test_cells_row_by_row() -> None:
    assert cell_origins(16, 8, 2).tolist() == [[0, 0], [0, 0], [8, 0], [8, 0], [0, 8], [0, 8], [8, 8], [8, 8]]
