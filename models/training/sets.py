"""What a training step sees: two sets of each of some people, drawn anew from the seed and the step alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.aggregation.data import EmbeddingCache, PersonImages, Rows, draw_samples, gather_sets
from models.training.configuration import TrainingRecipe

_SAMPLES_PER_INTRUDER = 5
_SMALLEST_CONTAMINATED = 3


class TrainingSets(NamedTuple):
    """P people, two sets each: the first sets of all people, then the second ones."""

    labels: Tensor  # (P,)
    """int64 place of each person in `EmbeddingCache.people()`."""
    embeddings: Tensor  # (2 P, N, D)
    norms: Tensor  # (2 P, N)
    valid: Tensor  # (2 P, N)


def draw_training_sets(
    people: list[PersonImages], cache: EmbeddingCache, recipe: TrainingRecipe, rng: np.random.Generator
) -> TrainingSets:
    """`recipe.people_per_step` people, fewer where there are no more."""
    chosen = rng.choice(len(people), min(recipe.people_per_step, len(people)), replace=False)
    sides = [
        tuple(_contaminate(rows, index, people, recipe, rng) for rows in _draw_two_sets(people[index], recipe, rng))
        for index in chosen
    ]
    sets = gather_sets(cache, [first for first, _ in sides] + [second for _, second in sides])
    return TrainingSets(
        torch.from_numpy(chosen),
        torch.from_numpy(sets.embeddings),
        torch.from_numpy(sets.norms),
        torch.from_numpy(sets.valid),
    )


def _draw_two_sets(person: PersonImages, recipe: TrainingRecipe, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """From disjoint halves of the person's images, so that no image can vouch for itself; from the same image
    where there is only one."""
    images = [person.images[index] for index in rng.permutation(len(person.images))]
    middle = len(images) // 2
    halves = (images[:middle] or images, images[middle:])
    first, second = (
        draw_samples(
            half,
            rng,
            size=int(rng.integers(1, recipe.largest_set + 1)),
            degraded_share=float(rng.choice(recipe.degraded_shares)),
            longest_clip=recipe.longest_clip,
        )
        for half in halves
    )
    return first, second


def _contaminate(
    rows: Rows, person: int, people: list[PersonImages], recipe: TrainingRecipe, rng: np.random.Generator
) -> Rows:
    """Some sets get samples of one other person in place of their own last ones."""
    intruders = max(1, len(rows) // _SAMPLES_PER_INTRUDER)
    if rng.random() >= recipe.contaminated_share or len(rows) < _SMALLEST_CONTAMINATED:
        return rows
    other = people[(person + int(rng.integers(1, len(people)))) % len(people)]
    theirs = draw_samples(
        other.images, rng, size=intruders, degraded_share=float(rng.choice(recipe.degraded_shares)), longest_clip=1
    )
    return np.concatenate([rows[: len(rows) - len(theirs)], theirs])
