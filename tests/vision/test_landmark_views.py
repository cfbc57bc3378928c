"""Close-ups of a face and the way back to the image."""

from __future__ import annotations

import numpy as np
import pytest

from service.errors import SampleRejectedError
from service.vision.alignment import arcface_template
from service.vision.candidates import Candidates
from service.vision.landmark_views import LandmarkView, view_face

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


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_tilted_face_stands_upright_in_the_middle(mirrored: bool) -> None:
    view = view_face(IMAGE, LANDMARKS, VIEW, mirrored=mirrored)
    points = on_canvas(view.to_canvas)
    left, right = (points[1], points[0]) if mirrored else (points[0], points[1])
    assert right[0] - left[0] == pytest.approx(32, abs=0.1)
    assert right[1] == pytest.approx(left[1], abs=0.3)
    assert np.abs(points.mean(axis=0) - 64).max() < 4
    assert view.canvas_bgr.shape == (128, 128, 3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_found_on_the_canvas_comes_back_to_its_place(mirrored: bool) -> None:
    view = view_face(IMAGE, LANDMARKS, VIEW, mirrored=mirrored)
    seen = on_canvas(view.to_canvas)
    if mirrored:  # the detector calls the eye at the left of the canvas the left one
        seen = seen[[1, 0, 2, 4, 3]]
    found = view.landmarks_in_image(candidates(seen + 50, seen, seen + 1, scores=(1.0, 0.9, 0.8)))
    assert found == pytest.approx(LANDMARKS.astype(np.float64), abs=1e-3)


def test_the_mirror_image_shows_the_same_pixels() -> None:
    plain, mirrored = (view_face(IMAGE, LANDMARKS, VIEW, mirrored=flag) for flag in (False, True))
    assert np.abs(plain.canvas_bgr[:, ::-1].astype(int) - mirrored.canvas_bgr).mean() < 2


def test_no_candidate_or_none_that_is_finite_is_nothing() -> None:
    view = view_face(IMAGE, LANDMARKS, VIEW, mirrored=False)
    middle = np.full((5, 2), 64.0)
    broken = candidates(middle)
    broken.landmarks[0, 3, 0] = np.nan
    assert view.landmarks_in_image(broken) is None
    assert view.landmarks_in_image(candidates(middle + 60)) is None


def test_landmarks_on_one_point_are_refused() -> None:
    with pytest.raises(SampleRejectedError):
        view_face(IMAGE, np.ones((5, 2), np.float32), VIEW, mirrored=False)
