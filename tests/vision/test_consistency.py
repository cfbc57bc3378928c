from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.types import Embedding
from service.vision.consistency import NO_LIMITS, ConsistencyLimits, group_faces

LIMITS = ConsistencyLimits((5.0, 10.0), (0.0, 0.4))
WIDTH = 32


def faces(*centres: int, norms: float = 10.0, noise: float = 0.1, seed: int = 0) -> list[Embedding]:
    """One for each person named: near the person's axis."""
    rng = np.random.default_rng(seed)
    found = []
    for centre in centres:
        vector = np.eye(WIDTH)[centre] + noise * rng.standard_normal(WIDTH)
        found.append(Embedding((vector / np.linalg.norm(vector)).astype(np.float32), norms))
    return found


def test_one_face_is_one_group() -> None:
    assert group_faces(faces(0), LIMITS).groups == ((0,),)
    assert group_faces(faces(0), LIMITS).joins == ()


def test_people_are_told_apart_and_the_largest_group_comes_first() -> None:
    assert group_faces(faces(1, 0, 2, 0, 1, 0), LIMITS).groups == ((1, 3, 5), (0, 4), (2,))


def test_among_groups_of_one_size_the_better_faces_come_first() -> None:
    poor, good = faces(0, 0, norms=9.0), faces(1, 1, norms=10.0)
    assert group_faces([*poor, *good], LIMITS).groups == ((2, 3), (0, 1))
    assert group_faces(faces(0, 0, 1, 1), LIMITS).groups == ((0, 1), (2, 3)), "then the earliest"


def test_a_poor_face_may_look_unlike_the_rest() -> None:
    good, poor = faces(0, 0, 0), faces(1, norms=4.0, noise=0.0)
    assert np.abs([face.vector @ poor[0].vector for face in good]).max() < 0.3
    alike = [Embedding(poor[0].vector + np.float32(0.2) * np.eye(WIDTH, dtype=np.float32)[0], 4.0)]
    assert len(group_faces([*good, *alike], LIMITS).groups) == 1
    assert len(group_faces([*good, Embedding(alike[0].vector, 10.0)], LIMITS).groups) == 2


def test_faces_of_one_image_are_different_people() -> None:
    twins = faces(0, 0, 0, 0)
    assert group_faces(twins, LIMITS, images=[0, 0, 1, 1]).groups in (((0, 2), (1, 3)), ((0, 3), (1, 2)))
    assert len(group_faces(twins, NO_LIMITS, images=[0, 0, 1, 1]).groups) == 2


def test_without_limits_everything_is_joined_and_the_last_join_is_the_worst_split() -> None:
    joins = group_faces(faces(0, 0, 0, 1, 1), NO_LIMITS).joins
    assert len(joins) == 4
    assert joins[-1].cosine == min(join.cosine for join in joins) < 0.3
    assert {join.norm for join in joins} == {10.0}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms())
def test_the_order_of_the_faces_does_not_matter(people: list[int], random) -> None:  # type: ignore[no-untyped-def]
    found = faces(*people, seed=len(people))
    order = list(range(len(found)))
    random.shuffle(order)
    straight = {frozenset(group) for group in group_faces(found, LIMITS).groups}
    mixed = group_faces([found[index] for index in order], LIMITS).groups
    assert {frozenset(order[index] for index in group) for group in mixed} == straight


def test_limits_are_lines_between_knots_and_level_beyond() -> None:
    norms = np.array([1.0, 5.0, 7.5, 10.0, 30.0])
    assert LIMITS.least_cosine(norms) == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.4])


def test_a_thousand_faces_are_grouped() -> None:
    found = faces(*([0] * 700 + [1] * 300))
    assert [len(group) for group in group_faces(found, LIMITS).groups] == [700, 300]
