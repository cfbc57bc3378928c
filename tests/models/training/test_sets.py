from __future__ import annotations

import numpy as np
import pytest
import torch

from models.training.configuration import TrainingRecipe
from models.training.sets import TrainingSets, draw_training_sets
from tests.models.sets import synthetic_people


def draw(recipe: TrainingRecipe, images: int = 8, seed: int = 0) -> TrainingSets:
    cache = synthetic_people(np.random.default_rng(0), 20, images, 3, 16)
    # The number of the person stands in the norm, so that a set tells whose samples it holds.
    cache.norms[:] = cache.person + 1
    return draw_training_sets(cache.people(), cache, recipe, np.random.default_rng(seed))


def owners(sets: TrainingSets) -> list[list[int]]:
    return [(norms[valid] - 1).int().tolist() for norms, valid in zip(sets.norms, sets.valid, strict=True)]


def test_two_sets_of_each_person_that_share_no_sample() -> None:
    sets = draw(TrainingRecipe(people_per_step=12, largest_set=6))
    assert len(set(sets.labels.tolist())) == 12
    for label, held in zip(sets.labels.repeat(2).tolist(), owners(sets), strict=True):
        assert set(held) == {label}
        assert 1 <= len(held) <= 6
    for first, second, valid in zip(sets.embeddings[:12], sets.embeddings[12:], sets.valid[:12], strict=True):
        cosines = first[valid] @ second.T
        assert cosines.max() < 1.0 - 1e-6


def test_the_seed_alone_decides() -> None:
    recipe = TrainingRecipe(people_per_step=12, largest_set=6)
    assert all(torch.equal(a, b) for a, b in zip(draw(recipe), draw(recipe), strict=True))
    assert not torch.equal(draw(recipe).labels, draw(recipe, seed=1).labels)


def test_people_with_one_image_have_two_sets_too() -> None:
    sets = draw(TrainingRecipe(people_per_step=12, largest_set=3), images=1)
    assert len(sets.embeddings) == 24 and bool(sets.valid.any(dim=1).all())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_contaminated_sets_hold_one_other_person(share: float) -> None:
    recipe = TrainingRecipe(people_per_step=20, largest_set=10, contaminated_share=share)
    large = contaminated = 0
    for seed in range(10):
        sets = draw(recipe, seed=seed)
        for label, held in zip(sets.labels.repeat(2).tolist(), owners(sets), strict=True):
            strangers = [owner for owner in held if owner != label]
            assert len(set(strangers)) <= 1
            assert len(strangers) <= max(0, len(held) // 5 if len(held) >= 5 else int(len(held) >= 3))
            large += len(held) >= 3
            contaminated += bool(strangers)
    assert contaminated / large == pytest.approx(share, abs=0.1)
