from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.pipeline.tracks import track_faces
from service.types import EmbeddedFace, Embedding
from tests.pipeline.fakes import embed


def face(person: int, norm: float, seconds: float) -> EmbeddedFace:
    vector = np.zeros(8, np.float32)
    vector[person], vector[7] = 0.95, 0.1 * seconds
    vector /= np.linalg.norm(vector)
    return replace(embed("x").face, embedding=Embedding(vector, norm), seconds=seconds)


def test_a_person_is_one_face_and_who_is_in_most_frames_comes_first() -> None:
    found = [face(0, 8.0, 0.0), face(1, 9.0, 0.0), face(1, 10.0, 1.0), face(1, 7.0, 2.0), face(0, 9.5, 2.0)]
    tracks = track_faces(found, [0, 0, 1, 2, 2])
    assert [int(track.embedding.vector.argmax()) for track in tracks] == [1, 0]
    assert [track.seconds for track in tracks] == [1.0, 2.0], "when the face is seen best"
    assert tracks[0].detection is found[2].detection


def test_a_track_is_the_mean_of_its_best_unnormalised_embeddings() -> None:
    found = [
        face(0, norm, 0.1 * index) for index, norm in enumerate([9.0, 3.0, 8.0, 7.0, 2.0, 6.0, 5.0, 10.0, 4.0, 1.0])
    ]
    [track] = track_faces(found, list(range(10)))
    best = sorted(found, key=lambda each: -each.embedding.norm)[:8]
    mean = np.mean([each.embedding.vector * each.embedding.norm for each in best], axis=0)
    assert track.embedding.norm == pytest.approx(float(np.linalg.norm(mean)), rel=1e-6)
    np.testing.assert_allclose(track.embedding.vector * track.embedding.norm, mean, rtol=1e-5)
    assert np.linalg.norm(track.embedding.vector) == pytest.approx(1.0, abs=1e-6)


def test_two_faces_of_one_frame_are_two_people() -> None:
    assert len(track_faces([face(0, 9.0, 0.0), face(0, 8.0, 0.0)], [0, 0])) == 2
