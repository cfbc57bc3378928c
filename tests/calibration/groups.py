"""Template groups made up for tests."""

from __future__ import annotations

import numpy as np

from service.calibration.comparisons import PairedTemplates, TemplateGroup, Templates


def make_group(rng: np.random.Generator, people: int, mated: int, kinds: int = 2, width: int = 16) -> TemplateGroup:
    """Poor templates are drawn to one common direction, so that their non-mated scores are higher. The first `mated`
    people have mated comparisons."""
    subjects, common = rng.normal(size=(people, width)), rng.normal(size=width)

    def side() -> Templates:
        badness = rng.uniform(0.1, 0.6, (people, 1))
        vectors = (1.0 - badness) * subjects + badness * (common + rng.normal(size=(people, width)))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Templates(vectors.astype(np.float32), (14.0 - 9.0 * badness[:, 0]).astype(np.float32))

    pairs = tuple(PairedTemplates(side(), side()) for _ in range(kinds))
    return TemplateGroup(pairs, np.arange(people) < mated)
