"""All people of a group compared with each other, sorted by how good the two templates are.

Non-mated scores of two poor templates reach higher than those of two good ones, so one threshold cannot hold an FMR
for both. The template norm tracks quality; its levels sort comparisons into buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from service.calibration.error_rates import ComparisonScores

Bucket = tuple[int, int]
"""Levels of the better and of the worse template, from 0."""


@dataclass(frozen=True, slots=True)
class Templates:
    """One for each person of a group, made of some of the person's samples."""

    vectors: NDArray[np.float32]  # (P, D)
    """Unit length."""
    norms: NDArray[np.float32]  # (P,)


@dataclass(frozen=True, slots=True)
class PairedTemplates:
    """Reference and probe of every person, of one kind (single photographs, sets, ...)."""

    reference: Templates
    probe: Templates


@dataclass(frozen=True, slots=True)
class TemplateGroup:
    """What people are compared by. Every kind is compared with itself and with every other."""

    kinds: tuple[PairedTemplates, ...]
    mated: NDArray[np.bool_]  # (P,)
    """Whose reference and probe share no sample."""


def level_edges(groups: Sequence[TemplateGroup], levels: int) -> tuple[float, ...]:
    """Template norms that part all templates into `levels` parts of one size."""
    norms = np.concatenate(
        [side.norms for group in groups for kind in group.kinds for side in (kind.reference, kind.probe)]
    )
    return tuple(np.quantile(norms, np.arange(1, levels) / levels).tolist())


def level_of(norms: NDArray[np.floating], edges: Sequence[float]) -> NDArray[np.int64]:
    """0 for the poorest. (N,) -> (N,)."""
    return np.searchsorted(np.asarray(edges, np.float64), norms, side="right").astype(np.int64)


def buckets_of(levels: int) -> tuple[Bucket, ...]:
    """Every pair of levels once."""
    return tuple((better, worse) for worse, better in combinations_with_replacement(range(levels), 2))


def compare_groups(
    everyone: TemplateGroup, mated_again: Sequence[TemplateGroup], edges: Sequence[float]
) -> dict[Bucket, ComparisonScores]:
    """Scores by bucket. Non-mated: every two people of `everyone` once for each ordered pair of kinds. Mated: those of
    `everyone`, and those of `mated_again`: the first people of `everyone`, drawn anew."""
    parts: dict[Bucket, list[ComparisonScores]] = {bucket: [] for bucket in buckets_of(len(edges) + 1)}
    for group in (everyone, *mated_again):
        for first in group.kinds:
            for second in group.kinds:
                sides = (first.reference, second.probe)
                levels = (level_of(sides[0].norms, edges), level_of(sides[1].norms, edges))
                pairs = _pairs_of_people(len(group.mated)) if group is everyone else np.zeros((2, 0), np.int32)
                for bucket, found in parts.items():
                    found.append(_scores_in(bucket, sides, levels, pairs, group.mated))
    return {bucket: _join(found, len(everyone.mated)) for bucket, found in parts.items()}


def _pairs_of_people(people: int) -> NDArray[np.int32]:
    """(2, Q): each two people once."""
    return np.stack(np.triu_indices(people, 1)).astype(np.int32)


def _scores_in(
    bucket: Bucket,
    sides: tuple[Templates, Templates],
    levels: tuple[NDArray[np.int64], NDArray[np.int64]],
    pairs: NDArray[np.int32],
    mated: NDArray[np.bool_],
) -> ComparisonScores:
    reference, probe = sides[0].vectors, sides[1].vectors
    own = np.flatnonzero(mated & _is_in(bucket, levels[0], levels[1]))
    others = pairs[:, _is_in(bucket, levels[0][pairs[0]], levels[1][pairs[1]])]
    scores = reference @ probe.T if others.size else np.zeros((0, 0), np.float32)  # (P, P)
    return ComparisonScores(
        mated=np.einsum("pd,pd->p", reference[own], probe[own]),
        mated_person=own,
        non_mated=scores[others[0], others[1]],
        non_mated_people=others.T,
        people=len(mated),
    )


def _is_in(bucket: Bucket, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (np.maximum(first, second) == bucket[0]) & (np.minimum(first, second) == bucket[1])
    return inside


def _join(parts: Sequence[ComparisonScores], people: int) -> ComparisonScores:
    return ComparisonScores(
        mated=np.concatenate([part.mated for part in parts]),
        mated_person=np.concatenate([part.mated_person for part in parts]),
        non_mated=np.concatenate([part.non_mated for part in parts]),
        non_mated_people=np.concatenate([part.non_mated_people for part in parts]),
        people=people,
    )
