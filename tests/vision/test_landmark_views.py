"""Close-ups of a face and the way back to the image."""

from __future__ import annotations

import numpy as np
import pytest

from service.vision.alignment import arcface_template, similarity_to_template
from service.vision.candidates import Candidates
from service.vision.landmark_views import FaceView, LandmarkView, view_face

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
LANDMARKS = (arcface_template() @ TURN.T * 1.5 + [60, -10]).astype(np.float32)
VIEW = LandmarkView(128, 32)


def candidates(*points: np.ndarray, scores: tuple[float, ...] = (0.9,)) -> Candidates:
    centers = [group.mean(axis=0) for group in points]
    return Candidates(
        np.array(scores, np.float32),
        np.array([[*(center - 10), *(center + 10)] for center in centers], np.float32),
        np.array(points, np.float32),
    )


def on_canvas(matrix: np.ndarray) -> np.ndarray:
    return LANDMARKS @ matrix[:, :2].T + matrix[:, 2]


@pytest.fixture
def view() -> FaceView:
    return view_face(similarity_to_template(LANDMARKS), VIEW)


def test_a_tilted_face_stands_upright_in_the_middle(view: FaceView) -> None:
    points = on_canvas(view.to_canvas)
    assert points[1, 0] - points[0, 0] == pytest.approx(32, abs=0.1)
    assert points[1, 1] == pytest.approx(points[0, 1], abs=0.3)
    assert np.abs(points.mean(axis=0) - 64).max() < 4


def test_the_face_and_its_mirror_image_are_drawn(view: FaceView) -> None:
    canvases = np.full((2, 128, 128, 3), 7, np.uint8)
    view.draw(IMAGE, canvases)
    np.testing.assert_array_equal(canvases[0][:, ::-1], canvases[1])
    inverse = np.linalg.inv(np.vstack([view.to_canvas, [0, 0, 1]]))
    for x, y in ((64, 64), (40, 80), (90, 30)):
        column, row = inverse[:2] @ (x, y, 1)
        left, top = int(column), int(row)
        around = IMAGE[top : top + 2, left : left + 2].reshape(-1, 3)
        assert (around.min(axis=0) <= canvases[0, y, x]).all()
        assert (canvases[0, y, x] <= around.max(axis=0)).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_found_on_the_canvas_comes_back_to_its_place(view: FaceView, mirrored: bool) -> None:
    seen = on_canvas(view.to_canvas)
    if mirrored:  # the detector calls the eye at the left of the canvas the left one
        seen = (np.array([127, 0]) + seen * (-1, 1))[[1, 0, 2, 4, 3]]
    found = view.landmarks_in_image(candidates(seen + 50, seen, seen + 1, scores=(1.0, 0.9, 0.8)), mirrored=mirrored)
    assert found == pytest.approx(LANDMARKS.astype(np.float64), abs=1e-3)


def test_no_candidate_or_none_that_is_finite_is_nothing(view: FaceView) -> None:
    middle = np.full((5, 2), 64.0)
    broken = candidates(middle)
    broken.landmarks[0, 3, 0] = np.nan
    assert view.landmarks_in_image(broken, mirrored=False) is None
    assert view.landmarks_in_image(candidates(middle + 60), mirrored=False) is None
