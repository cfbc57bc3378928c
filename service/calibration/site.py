"""A site's own people as the groups that a calibration is fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.calibration.comparisons import PairedTemplates, TemplateGroup, Templates
from service.protocols import SetAggregator
from service.types import Embedding

Person = Sequence[Embedding]
"""The embeddings of one person's pictures, one or more."""

MOST_PEOPLE = 5_000
"""12 million pairs of people for every two kinds: enough for any operating point, and they still fit in memory."""
_MATED_DRAWS = 10
_SEED = 11


def draw_site_groups(people: Sequence[Person], aggregator: SetAggregator) -> tuple[TemplateGroup, list[TemplateGroup]]:
    """Everyone once, and the people with several pictures nine times more, first in both.

    Two kinds of templates: of one picture, and of half of a person's pictures. Reference and probe of a person with two
    pictures or more share none. Raises `InferenceFailedError`.
    """
    rng = np.random.default_rng(_SEED)
    several = [person for person in people if len(person) >= 2]
    alone = [person for person in people if len(person) == 1]
    everyone = _draw_group([*several, *alone], aggregator, rng)
    again = [_draw_group(several, aggregator, rng) for _ in range(_MATED_DRAWS - 1)] if several else []
    return everyone, again


def _draw_group(people: Sequence[Person], aggregator: SetAggregator, rng: np.random.Generator) -> TemplateGroup:
    halves = [_draw_halves(person, rng) for person in people]
    singles, sets = (
        PairedTemplates(
            _templates([_drawn(pair[0], alone=alone) for pair in halves], aggregator),
            _templates([_drawn(pair[1], alone=alone) for pair in halves], aggregator),
        )
        for alone in (True, False)
    )
    return TemplateGroup((singles, sets), np.array([len(person) >= 2 for person in people], dtype=np.bool_))


def _draw_halves(person: Person, rng: np.random.Generator) -> tuple[Person, Person]:
    shuffled = [person[index] for index in rng.permutation(len(person))]
    middle = len(shuffled) // 2
    return shuffled[:middle] or shuffled, shuffled[middle:]


def _drawn(half: Person, *, alone: bool) -> Person:
    return half[:1] if alone else half


def _templates(sets: Sequence[Person], aggregator: SetAggregator) -> Templates:
    made = aggregator.aggregate(sets)
    return Templates(
        np.stack([aggregation.vector for aggregation in made]),
        np.array([aggregation.norm for aggregation in made], np.float32),
    )
