"""The subject's face among those found."""

from __future__ import annotations

import numpy as np
import pytest

from service.errors import SampleRejectedError
from service.types import Detection, FacePolicy, RejectionReason
from service.vision.face_selection import MOST_CANDIDATES, candidate_faces, choose_face, eye_distance

SIZE = (100, 200)


def face(width: float, score: float = 0.9, eyes: float = 20.0) -> Detection:
    landmarks = np.zeros((5, 2), np.float32)
    landmarks[1, 0] = eyes
    return Detection((0.0, 0.0, width, width), score, landmarks)


def reason_of(detections: list[Detection], policy: FacePolicy = FacePolicy.LARGEST) -> RejectionReason:
    with pytest.raises(SampleRejectedError) as caught:
        choose_face(detections, policy, 8.0, image_size=SIZE)
    return caught.value.reason


def test_the_largest_face() -> None:
    faces = [face(10, 0.99), face(30, 0.8), face(20, 0.9)]
    assert choose_face(faces, FacePolicy.LARGEST, 8.0, image_size=SIZE) is faces[1]


def test_the_central_face_and_the_higher_score_among_equals() -> None:
    def placed(x: float, y: float, score: float = 0.9) -> Detection:
        return Detection((x - 5, y - 5, x + 5, y + 5), score, face(10).landmarks)

    faces = [face(60), placed(100, 70), placed(90, 45, 0.8), placed(110, 55)]
    assert choose_face(faces, FacePolicy.CENTRAL, 8.0, image_size=SIZE) is faces[3]


def test_ties_go_to_the_score_and_then_to_the_earlier_one() -> None:
    faces = [face(30, 0.8), face(30, 0.9), face(30, 0.9)]
    assert choose_face(faces, FacePolicy.LARGEST, 8.0, image_size=SIZE) is faces[1]


def test_the_only_face() -> None:
    faces = [face(30)]
    assert choose_face(faces, FacePolicy.ONLY, 8.0, image_size=SIZE) is faces[0]
    assert reason_of([face(30), face(1)], FacePolicy.ONLY) is RejectionReason.SEVERAL_FACES


@pytest.mark.parametrize("policy", list(FacePolicy))
def test_no_face(policy: FacePolicy) -> None:
    assert reason_of([], policy) is RejectionReason.NO_FACE


@pytest.mark.parametrize("eyes", [7.99, 0.0, float("nan")])
def test_a_face_without_enough_pixels_between_the_eyes(eyes: float) -> None:
    assert reason_of([face(30, eyes=eyes)]) is RejectionReason.TOO_SMALL


def test_the_limit_itself_is_enough() -> None:
    assert eye_distance(choose_face([face(30, eyes=8.0)], FacePolicy.LARGEST, 8.0, image_size=SIZE)) == 8.0


def test_candidates_are_the_usable_faces_the_largest_first() -> None:
    faces = [face(10, eyes=7.0), face(20, 0.8), face(40), face(20, 0.9)]
    assert candidate_faces(faces, 8.0) == [faces[2], faces[3], faces[1]]
    assert len(candidate_faces([face(30)] * 20, 8.0)) == MOST_CANDIDATES


@pytest.mark.parametrize(
    ("faces", "reason"), [([], RejectionReason.NO_FACE), ([face(30, eyes=1.0)] * 2, RejectionReason.TOO_SMALL)]
)
def test_no_candidate(faces: list[Detection], reason: RejectionReason) -> None:
    with pytest.raises(SampleRejectedError) as caught:
        candidate_faces(faces, 8.0)
    assert caught.value.reason is reason
