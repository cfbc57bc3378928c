from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.calibration.site import draw_site_groups
from service.types import Aggregation, Embedding


class FirstOfSet:
    """Hands out each set's first embedding, and remembers the sets."""

    def __init__(self) -> None:
        self.sets: list[list[int]] = []

    def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
        self.sets += [[int(embedding.norm) for embedding in embeddings] for embeddings in sets]
        return [
            Aggregation(embeddings[0].vector, embeddings[0].norm, (0,), (1.0,) * len(embeddings)) for embeddings in sets
        ]


def person(first: int, pictures: int) -> list[Embedding]:
    """Each picture is known by its norm."""
    return [Embedding(np.eye(4, dtype=np.float32)[0], float(first + number)) for number in range(pictures)]


def test_halves_share_no_picture_and_people_with_several_come_first() -> None:
    aggregator = FirstOfSet()
    people = [person(100, 1), person(200, 5), person(300, 2)]
    everyone, again = draw_site_groups(people, aggregator)
    assert everyone.mated.tolist() == [True, True, False]
    assert len(again) == 9 and all(group.mated.tolist() == [True, True] for group in again)
    singles, sets = aggregator.sets[:6], aggregator.sets[6:12]
    assert [len(pictures) for pictures in singles] == [1] * 6
    references, probes = sets[:3], sets[3:]
    for reference, probe in list(zip(references, probes, strict=True))[:2]:
        assert not set(reference) & set(probe)
    assert sorted(references[0] + probes[0]) == [200, 201, 202, 203, 204]
    assert references[2] == probes[2] == [100]


def test_people_without_a_second_picture_alone() -> None:
    everyone, again = draw_site_groups([person(100, 1), person(200, 1)], FirstOfSet())
    assert not everyone.mated.any() and again == []
