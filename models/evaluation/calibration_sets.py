"""What users compare, all of it: single pictures and sets, good and bad, of everyone with everyone.

People with one image take part too: they have no mated comparison, but they make most of the non-mated ones, which is
what thresholds at low FMRs need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np

from models.aggregation.data import (
    EmbeddingCache,
    ImageVersions,
    PersonImages,
    Rows,
    SampleSets,
    draw_samples,
    gather_sets,
)
from service.calibration.comparisons import PairedTemplates, TemplateGroup, Templates
from service.protocols import InferenceSession

AggregateWithNorms = Callable[[SampleSets], Templates]
_BATCH = 512
_SHARES = (0.0, 0.25, 0.5, 0.8)


class Kind(StrEnum):
    """What a template is made of."""

    SINGLE = "one photograph"
    DEGRADED_SINGLE = "one degraded photograph"
    SET = "2 to 20 samples, 0 to 80 % degraded"
    DEGRADED_SET = "2 to 20 samples, all degraded"


def aggregate_in(session: InferenceSession) -> AggregateWithNorms:
    """An exported aggregator with its template norms."""

    def aggregate(sets: SampleSets) -> Templates:
        outputs = session.run({"embeddings": sets.embeddings, "norms": sets.norms, "valid": sets.valid})
        return Templates(outputs[0].astype(np.float32), outputs[1].astype(np.float32))

    return aggregate


def draw_group(
    caches: Sequence[EmbeddingCache], aggregate: AggregateWithNorms, rng: np.random.Generator
) -> TemplateGroup:
    """Two templates of every kind for each person of all caches, in the order of `Kind`; those of a person with two
    images or more share no image."""
    drawn = [(cache, [(person, _draw_halves(person, rng)) for person in cache.people()]) for cache in caches]
    kinds = []
    for kind in Kind:
        sides: list[list[Templates]] = [[], []]
        for cache, people in drawn:
            for side in (0, 1):
                rows = [_draw(kind, halves[side], rng) for _, halves in people]
                sides[side].append(templates_with_norms(cache, rows, aggregate))
        kinds.append(PairedTemplates(_join(sides[0]), _join(sides[1])))
    mated = [len(person.images) >= 2 for _, people in drawn for person, _ in people]
    return TemplateGroup(tuple(kinds), np.array(mated, dtype=bool))


def _draw_halves(
    person: PersonImages, rng: np.random.Generator
) -> tuple[tuple[ImageVersions, ...], tuple[ImageVersions, ...]]:
    """Disjoint halves of the person's images; the one image on both sides where there is but one."""
    images = tuple(person.images[index] for index in rng.permutation(len(person.images)))
    middle = len(images) // 2
    return images[:middle] or images, images[middle:]


def _draw(kind: Kind, images: tuple[ImageVersions, ...], rng: np.random.Generator) -> Rows:
    if kind is Kind.SINGLE:
        return images[0].clean
    if kind is Kind.DEGRADED_SINGLE:
        return rng.choice(images[0].degraded, 1)
    share = 1.0 if kind is Kind.DEGRADED_SET else float(rng.choice(_SHARES))
    return draw_samples(images, rng, size=int(rng.integers(2, 21)), degraded_share=share, longest_clip=1)


def templates_with_norms(cache: EmbeddingCache, sets: Sequence[Rows], aggregate: AggregateWithNorms) -> Templates:
    """In batches of sets of like size, in the order given."""
    order = np.argsort([len(rows) for rows in sets], kind="stable")
    parts = [
        aggregate(gather_sets(cache, [sets[index] for index in order[start : start + _BATCH]]))
        for start in range(0, len(sets), _BATCH)
    ]
    place = np.argsort(order)
    joined = _join(parts)
    return Templates(joined.vectors[place], joined.norms[place])


def _join(parts: Sequence[Templates]) -> Templates:
    return Templates(np.concatenate([part.vectors for part in parts]), np.concatenate([part.norms for part in parts]))
