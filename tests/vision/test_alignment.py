"""The similarity transform to the ArcFace template."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision.alignment import align_face, arcface_template, similarity_to_template


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 50),
    shift=st.tuples(st.floats(-5_000, 5_000), st.floats(-5_000, 5_000)),
)
def test_any_similarity_of_the_template_is_undone(angle: float, scale: float, shift: tuple[float, float]) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = arcface_template() @ turn.T + shift
    matrix = similarity_to_template(landmarks)
    np.testing.assert_allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], arcface_template(), atol=1e-6)


def test_least_squares_agrees_with_scikit_image() -> None:
    transform = pytest.importorskip("skimage.transform")
    generator = np.random.default_rng(0)
    for _ in range(200):
        landmarks = arcface_template() * generator.uniform(0.2, 9) + generator.normal(0, 4, (5, 2))
        expected = transform.SimilarityTransform.from_estimate(landmarks, arcface_template()).params[:2]
        np.testing.assert_allclose(similarity_to_template(landmarks), expected, rtol=1e-9, atol=1e-9)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = arcface_template() * [-1, 1]
    matrix = similarity_to_template(mirrored.astype(np.float32))
    assert np.linalg.det(matrix[:, :2]) > 0


def test_pixels_land_on_the_template_and_black_lies_beyond_the_image() -> None:
    image_bgr = np.zeros((300, 300, 3), np.uint8)
    landmarks = (arcface_template() * 2 + 20).astype(np.float32)
    for number, (x, y) in enumerate(landmarks):
        image_bgr[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = 50 * (number + 1)
    aligned = align_face(image_bgr, landmarks)
    assert aligned.shape == (112, 112, 3)
    assert aligned.dtype == np.uint8
    for number, (x, y) in enumerate(arcface_template()):
        assert (aligned[round(y), round(x)] == 50 * (number + 1)).all()
    assert not align_face(np.full((300, 300, 3), 255, np.uint8), landmarks - 1_000).any()


def test_landmarks_on_one_point_are_refused() -> None:
    with pytest.raises(SampleRejectedError) as caught:
        align_face(np.zeros((10, 10, 3), np.uint8), np.full((5, 2), 4, np.float32))
    assert caught.value.reason is RejectionReason.TOO_SMALL
