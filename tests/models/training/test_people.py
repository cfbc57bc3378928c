from __future__ import annotations

import dataclasses

import numpy as np

from models.aggregation.data import join_caches
from models.training.people import leave_out_alike
from tests.models.sets import synthetic_people


def test_the_same_person_under_another_name_is_left_out() -> None:
    rng = np.random.default_rng(0)
    reporting, learning = synthetic_people(rng, 6, 3, 2, 64), synthetic_people(rng, 9, 3, 2, 64)
    renamed = dataclasses.replace(
        synthetic_people(np.random.default_rng(0), 6, 3, 2, 64), names=tuple(f"other {n}" for n in range(6))
    )
    both = join_caches([learning, renamed.select(np.array([True, False, True, False, False, False]))])
    kept = leave_out_alike(both, [reporting])
    assert kept.names == learning.names
    np.testing.assert_array_equal(kept.embeddings, learning.embeddings)


def test_people_without_an_embedding_are_left_out() -> None:
    rng = np.random.default_rng(1)
    reporting, learning = synthetic_people(rng, 3, 2, 1, 64), synthetic_people(rng, 4, 2, 1, 64)
    with_nobody = dataclasses.replace(learning, names=(*learning.names, "faceless"))
    assert leave_out_alike(with_nobody, [reporting]).names == learning.names


def test_joined_people_keep_their_images_apart() -> None:
    rng = np.random.default_rng(2)
    first, second = synthetic_people(rng, 3, 2, 1, 16), synthetic_people(rng, 4, 5, 2, 16)
    joined = join_caches([first, second])
    people = joined.people()
    assert [len(person.images) for person in people] == [2] * 3 + [5] * 4
    assert len(np.unique(joined.image)) == 26
    np.testing.assert_allclose(
        joined.clean_prototypes(), np.concatenate([first.clean_prototypes(), second.clean_prototypes()])
    )
    chosen = joined.select(np.arange(7) == 5)
    assert chosen.names == (second.names[2],)
    np.testing.assert_array_equal(chosen.embeddings, second.embeddings[second.person == 2])
