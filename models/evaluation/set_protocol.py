"""Sample sets of people against each other: two disjoint halves of each person's images become two sets.

Mated comparisons are the two sets of one person, non-mated ones the first set of one person against the second of
another. Whole sets are drawn several times, so that the figures do not hang on one draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import EmbeddingCache, PersonImages, Rows, SampleSets, draw_samples, gather_sets
from service.calibration.error_rates import ComparisonScores

Templates = NDArray[np.float32]  # (B, D)
Aggregate = Callable[[SampleSets], Templates]
"""One unit template for each set."""

_BATCH = 512


@dataclass(frozen=True, slots=True)
class SetProtocol:
    """What is drawn."""

    smallest: int = 2
    largest: int = 12
    """Set sizes are uniform between these, fewer where a person's half holds no more samples."""
    degraded_share: float = 0.8
    """0: clean images alone, and smaller sets where a person has no more of them."""
    intruders: int = 0
    """Samples of somebody else that each set has on top: what a tracker's mix-up or a bystander brings in."""
    duplicates: int = 0
    """Times that one sample of each set is there again, as a picture that was uploaded twice."""
    draws: int = 10
    seed: int = 7


@dataclass(frozen=True, slots=True)
class SetDraw:
    """One draw: two sets for each person, in the same order."""

    people: NDArray[np.int64]  # (P,)
    """Person numbers of the cache."""
    references: list[Rows]
    probes: list[Rows]


def draw_sets(cache: EmbeddingCache, protocol: SetProtocol) -> Iterator[SetDraw]:
    """Every draw of the protocol, over the people with two usable images or more."""
    people = [_usable(person, protocol) for person in cache.people() if len(person.images) >= 2]
    rng = np.random.default_rng(protocol.seed)
    for _ in range(protocol.draws):
        halves = [_draw_halves(person, protocol, rng) for person in people]
        if protocol.intruders:
            halves = [
                (
                    _add_intruders(reference, number, people, protocol, rng),
                    _add_intruders(probe, number, people, protocol, rng),
                )
                for number, (reference, probe) in enumerate(halves)
            ]
        if protocol.duplicates:
            halves = [
                (_repeat_one(reference, protocol.duplicates, rng), _repeat_one(probe, protocol.duplicates, rng))
                for reference, probe in halves
            ]
        yield SetDraw(
            np.array([person.person for person in people], dtype=np.int64),
            [reference for reference, _ in halves],
            [probe for _, probe in halves],
        )


def _usable(person: PersonImages, protocol: SetProtocol) -> PersonImages:
    if protocol.degraded_share > 0.0:
        return person
    no_rows = np.array([], dtype=np.int64)
    return replace(person, images=tuple(replace(image, degraded=no_rows) for image in person.images))


def _draw_halves(person: PersonImages, protocol: SetProtocol, rng: np.random.Generator) -> tuple[Rows, Rows]:
    order = rng.permutation(len(person.images))
    middle = len(order) // 2
    reference, probe = (
        draw_samples(
            [person.images[index] for index in half],
            rng,
            size=int(rng.integers(protocol.smallest, protocol.largest + 1)),
            degraded_share=protocol.degraded_share,
            longest_clip=1,
        )
        for half in (order[:middle], order[middle:])
    )
    return reference, probe


def _add_intruders(
    rows: Rows, number: int, people: list[PersonImages], protocol: SetProtocol, rng: np.random.Generator
) -> Rows:
    """The set of person `number` with samples of one other person."""
    other = people[(number + int(rng.integers(1, len(people)))) % len(people)]
    intruders = draw_samples(
        other.images, rng, size=protocol.intruders, degraded_share=protocol.degraded_share, longest_clip=1
    )
    return np.concatenate([rows, intruders])


def _repeat_one(rows: Rows, times: int, rng: np.random.Generator) -> Rows:
    return np.concatenate([rows, np.repeat(rng.choice(rows), times)])


def templates_of(cache: EmbeddingCache, sets: list[Rows], aggregate: Aggregate) -> Templates:
    """(len(sets), D), in batches."""
    parts = [aggregate(gather_sets(cache, sets[start : start + _BATCH])) for start in range(0, len(sets), _BATCH)]
    return np.concatenate(parts)


def compare_draws(cache: EmbeddingCache, draws: Sequence[SetDraw], aggregate: Aggregate) -> ComparisonScores:
    """All scores of all draws. People are numbered by their place in the draws."""
    mated, non_mated, pairs, people = [], [], [], []
    for draw in draws:
        references = templates_of(cache, draw.references, aggregate).astype(np.float64)
        probes = templates_of(cache, draw.probes, aggregate).astype(np.float64)
        scores = references @ probes.T  # (P, P)
        others = ~np.eye(len(scores), dtype=bool)
        mated.append(np.diagonal(scores))
        people.append(np.arange(len(scores)))
        non_mated.append(scores[others])
        pairs.append(np.argwhere(others))
    return ComparisonScores(
        mated=np.concatenate(mated),
        mated_person=np.concatenate(people),
        non_mated=np.concatenate(non_mated),
        non_mated_people=np.concatenate(pairs),
        people=len(draws[0].people),
    )
