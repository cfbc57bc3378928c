"""What users compare, all of it: single clean images with each other, with sample sets, and sets with sets.

Everyone takes part, people with one image too: they have no mated comparison, but they make most of the non-mated
ones, which is what thresholds at low FMRs need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import EmbeddingCache, ImageVersions, PersonImages, Rows, draw_samples
from models.evaluation.metrics import ComparisonScores
from models.evaluation.set_protocol import Aggregate, Templates, templates_of


class Kind(StrEnum):
    """What stands on the two sides."""

    SINGLE_SINGLE = "single image / single image"
    SINGLE_SET = "single image / set"
    SET_SET = "set / set"


@dataclass(frozen=True, slots=True)
class MixedProtocol:
    """What is drawn, once for each group of people."""

    smallest: int = 2
    largest: int = 12
    degraded_share: float = 0.8
    seed: int = 11


@dataclass(frozen=True, slots=True)
class _Sides:
    """Templates of one group of people, one row a person; the two sides share no image where `mated` is True."""

    singles: tuple[Templates, Templates]
    sets: tuple[Templates, Templates]
    mated: NDArray[np.bool_]  # (P,)


def compare_mixed(
    caches: list[EmbeddingCache], aggregate: Aggregate, protocol: MixedProtocol
) -> dict[Kind, ComparisonScores]:
    """Scores by kind over the people of all caches. Non-mated: the first side of each person with the second side of
    every later one, so that each pair of people is compared once for each kind."""
    rng = np.random.default_rng(protocol.seed)
    groups = [_draw_sides(cache, aggregate, protocol, rng) for cache in caches]
    singles = _join([group.singles for group in groups])
    sets = _join([group.sets for group in groups])
    mated = np.concatenate([group.mated for group in groups])
    return {
        Kind.SINGLE_SINGLE: _compare(singles[0], singles[1], mated),
        Kind.SINGLE_SET: _compare(singles[0], sets[1], mated),
        Kind.SET_SET: _compare(sets[0], sets[1], mated),
    }


def pool_kinds(scores: Mapping[Kind, ComparisonScores]) -> ComparisonScores:
    """All kinds as one; they have as many comparisons each."""
    parts = list(scores.values())
    return ComparisonScores(
        mated=np.concatenate([part.mated for part in parts]),
        mated_person=np.concatenate([part.mated_person for part in parts]),
        non_mated=np.concatenate([part.non_mated for part in parts]),
        non_mated_people=np.concatenate([part.non_mated_people for part in parts]),
        people=parts[0].people,
    )


def _draw_sides(
    cache: EmbeddingCache, aggregate: Aggregate, protocol: MixedProtocol, rng: np.random.Generator
) -> _Sides:
    people = cache.people()
    halves = [_draw_halves(person, rng) for person in people]
    singles, sets = [], []
    for side in (0, 1):
        drawn = [_draw_side(half[side], protocol, rng) for half in halves]
        singles.append(templates_of(cache, [single for single, _ in drawn], aggregate))
        sets.append(templates_of(cache, [rows for _, rows in drawn], aggregate))
    mated = np.array([len(person.images) >= 2 for person in people], dtype=bool)
    return _Sides((singles[0], singles[1]), (sets[0], sets[1]), mated)


def _draw_halves(
    person: PersonImages, rng: np.random.Generator
) -> tuple[tuple[ImageVersions, ...], tuple[ImageVersions, ...]]:
    """Disjoint halves of the person's images; the one image on both sides where there is but one."""
    images = tuple(person.images[index] for index in rng.permutation(len(person.images)))
    middle = len(images) // 2
    return images[:middle] or images, images[middle:]


def _draw_side(
    images: tuple[ImageVersions, ...], protocol: MixedProtocol, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Rows of one clean image and of one set."""
    size = int(rng.integers(protocol.smallest, protocol.largest + 1))
    rows = draw_samples(images, rng, size=size, degraded_share=protocol.degraded_share, longest_clip=1)
    return images[0].clean, rows


def _compare(first: Templates, second: Templates, mated: NDArray[np.bool_]) -> ComparisonScores:
    scores = first.astype(np.float64) @ second.astype(np.float64).T  # (P, P)
    pairs = np.triu_indices(len(scores), 1)
    return ComparisonScores(
        mated=np.diagonal(scores)[mated],
        mated_person=np.flatnonzero(mated),
        non_mated=scores[pairs],
        non_mated_people=np.stack(pairs, axis=1),
        people=len(scores),
    )


def _join(sides: list[tuple[Templates, Templates]]) -> tuple[Templates, Templates]:
    return np.concatenate([first for first, _ in sides]), np.concatenate([second for _, second in sides])
