"""Faces to unit vectors and norms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from tests.vision.fake_session import FakeSession


def first_pixels(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """The first four red values of each face."""
    return [inputs["image"][:, 0, 0, :4]]


def make_embedder(session: FakeSession, width: int = 4) -> OnnxFaceEmbedder:
    return OnnxFaceEmbedder(SessionOnPixels(session, PixelRange("rgb", 0.0, 1.0)), width=width, batch_size=3)


def faces(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(1, 256, (count, 112, 112, 3), dtype=np.uint8)


def test_direction_and_length_are_kept_apart() -> None:
    session = FakeSession(first_pixels)
    images = faces(7)
    embeddings = make_embedder(session).embed(images)
    assert [len(inputs["image"]) for inputs in session.passes] == [3, 3, 1]
    for image, embedding in zip(images, embeddings, strict=True):
        assert embedding is not None
        feature = image[0, :4, 2].astype(float)
        assert embedding.norm == pytest.approx(np.linalg.norm(feature))
        assert embedding.vector.dtype == np.float32
        np.testing.assert_allclose(embedding.vector * embedding.norm, feature, rtol=1e-5)


def test_one_unusable_output_fails_alone() -> None:
    def answer(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        features = np.ones((len(inputs["image"]), 4), np.float32)
        for row, bad in enumerate((np.nan, np.inf, 0.0)):
            features[row] = bad
        return [features]

    session = FakeSession(answer)
    embedder = OnnxFaceEmbedder(SessionOnPixels(session, PixelRange("rgb", 0.0, 1.0)), width=4, batch_size=8)
    assert [embedding is None for embedding in embedder.embed(faces(4))] == [True, True, True, False]


@pytest.mark.parametrize("width", [3, 5])
def test_another_width_is_a_failed_inference(width: int) -> None:
    with pytest.raises(InferenceFailedError):
        make_embedder(FakeSession(first_pixels), width).embed(faces(2))


def test_a_missing_answer_is_a_failed_inference() -> None:
    with pytest.raises(InferenceFailedError):
        make_embedder(FakeSession(lambda inputs: [first_pixels(inputs)[0][:1]])).embed(faces(2))


def test_no_faces() -> None:
    assert make_embedder(FakeSession(first_pixels)).embed(faces(1)[:0]) == []
