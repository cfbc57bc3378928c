"""Close-ups of a face and the way back to the image."""

from __future__ import annotations

import numpy as np
import pytest

from service.vision.alignment import arcface_template, similarity_to_template
from service.vision.candidates import BatchCandidates, Candidates, join_batches
from service.vision.landmark_views import LandmarkView, draw_faces, landmarks_in_images, place_faces

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
LANDMARKS = (arcface_template() @ TURN.T * 1.5 + [60, -10]).astype(np.float32)
VIEW = LandmarkView(128, 32)


def candidates(*points: np.ndarray, scores: tuple[float, ...] = (0.9,), canvas: int = 0) -> BatchCandidates:
    centers = [group.mean(axis=0) for group in points]
    found = Candidates(
        np.array(scores, np.float32),
        np.array([[*(center - 10), *(center + 10)] for center in centers], np.float32),
        np.array(points, np.float32),
    )
    return BatchCandidates(found, np.full(len(points), canvas))


@pytest.fixture
def to_canvas() -> np.ndarray:
    """Of the face alone, (1, 2, 3)."""
    return place_faces(similarity_to_template(LANDMARKS)[None], VIEW)


def on_canvas(to_canvas: np.ndarray) -> np.ndarray:
    return LANDMARKS @ to_canvas[0, :, :2].T + to_canvas[0, :, 2]


def test_a_tilted_face_stands_upright_in_the_middle(to_canvas: np.ndarray) -> None:
    points = on_canvas(to_canvas)
    assert points[1, 0] - points[0, 0] == pytest.approx(32, abs=0.1)
    assert points[1, 1] == pytest.approx(points[0, 1], abs=0.3)
    assert np.abs(points.mean(axis=0) - 64).max() < 4


def test_the_face_and_its_mirror_image_are_drawn(to_canvas: np.ndarray) -> None:
    [[plain, mirrored]] = draw_faces([IMAGE], to_canvas, 128)
    np.testing.assert_array_equal(plain[:, ::-1], mirrored)
    inverse = np.linalg.inv(np.vstack([to_canvas[0], [0, 0, 1]]))
    for x, y in ((64, 64), (40, 80), (90, 30)):
        column, row = inverse[:2] @ (x, y, 1)
        left, top = int(column), int(row)
        around = IMAGE[top : top + 2, left : left + 2].reshape(-1, 3)
        assert (around.min(axis=0) <= plain[y, x]).all()
        assert (plain[y, x] <= around.max(axis=0)).all()


@pytest.mark.parametrize("mirrored", [0, 1])
def test_what_is_found_on_the_canvas_comes_back_to_its_place(to_canvas: np.ndarray, mirrored: int) -> None:
    seen = on_canvas(to_canvas)
    if mirrored:  # the detector calls the eye at the left of the canvas the left one
        seen = (np.array([127, 0]) + seen * (-1, 1))[[1, 0, 2, 4, 3]]
    found = candidates(seen + 50, seen, seen + 1, scores=(1.0, 0.9, 0.8), canvas=mirrored)
    [answer] = landmarks_in_images(found, to_canvas, 128)
    assert answer[mirrored] == pytest.approx(LANDMARKS.astype(np.float64), abs=1e-3)
    assert np.isnan(answer[1 - mirrored]).all()


def test_of_equal_scores_the_first_counts(to_canvas: np.ndarray) -> None:
    seen = on_canvas(to_canvas)
    [answer] = landmarks_in_images(candidates(seen, seen + 1, seen + 2, scores=(0.9, 0.9, 0.8)), to_canvas, 128)
    assert answer[0] == pytest.approx(LANDMARKS.astype(np.float64), abs=1e-3)


def test_faces_keep_apart(to_canvas: np.ndarray) -> None:
    moved = to_canvas + np.array([[0, 0, 4.0], [0, 0, -3.0]])
    both = np.concatenate([to_canvas, moved])
    seen = on_canvas(to_canvas)
    found = join_batches([(0, candidates(seen, canvas=0)), (2, candidates(seen, canvas=0))])
    first, second = landmarks_in_images(found, both, 128)
    assert first[0] == pytest.approx(LANDMARKS.astype(np.float64), abs=1e-3)
    assert on_canvas(moved) == pytest.approx(seen + np.array([4, -3]))
    assert second[0] @ moved[0, :, :2].T + moved[0, :, 2] == pytest.approx(seen, abs=1e-3)


def test_no_candidate_or_none_that_is_finite_is_nothing(to_canvas: np.ndarray) -> None:
    middle = np.full((5, 2), 64.0)
    broken = candidates(middle)
    broken.candidates.landmarks[0, 3, 0] = np.nan
    assert np.isnan(landmarks_in_images(broken, to_canvas, 128)).all()
    assert np.isnan(landmarks_in_images(candidates(middle + 60), to_canvas, 128)).all()
