from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.types import Embedding
from service.vision.near_duplicates import LEAST_COSINE, representatives


def at(degrees: float, norm: float = 10.0) -> Embedding:
    """On a circle: 20 degrees apart is a cosine just below the limit, 19 just above it."""
    angle = np.radians(degrees)
    return Embedding(np.array([np.cos(angle), np.sin(angle)], np.float32), norm)


def test_the_limit_lies_where_the_tests_take_it() -> None:
    assert np.cos(np.radians(20.0)) < LEAST_COSINE < np.cos(np.radians(19.0))


def test_one_face_stands_for_itself() -> None:
    assert representatives([at(0)]) == [0]


def test_copies_are_stood_for_by_the_best() -> None:
    assert representatives([at(0, 9.0), at(5, 11.0), at(90), at(3, 10.0)]) == [1, 1, 2, 1]


def test_a_chain_is_not_one_picture() -> None:
    assert representatives([at(0, 12.0), at(15, 11.0), at(30, 10.0)]) == [0, 0, 2]


def test_among_equals_the_earlier_one() -> None:
    assert representatives([at(0), at(1)]) == [0, 0]


@given(st.lists(st.tuples(st.floats(0, 359), st.floats(1.0, 20.0)), min_size=1, max_size=12))
def test_who_stands_for_others_stands_for_itself_and_is_no_worse(drawn: list[tuple[float, float]]) -> None:
    faces = [at(*face) for face in drawn]
    found = representatives(faces)
    for index, chosen in enumerate(found):
        assert found[chosen] == chosen
        assert faces[chosen].norm >= faces[index].norm
        assert chosen == index or float(faces[chosen].vector @ faces[index].vector) >= LEAST_COSINE - 1e-6
