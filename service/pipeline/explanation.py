"""Which samples carried a decision: what the score would be without each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.pipeline.template_creation import TemplateCreator
from service.types import EmbeddedSample, SampleMaterial
from service.vision.comparison import compare_vectors


@dataclass(frozen=True, slots=True)
class SampleContribution:
    digest: str
    """SHA-256 of the sample."""
    score_change: float
    """The score minus what it would be without this sample: above 0 the sample speaks for a match."""


async def contributions(
    creator: TemplateCreator, material: SampleMaterial, other: NDArray[np.float32]
) -> tuple[SampleContribution, ...] | None:
    """Of each sample in the template that `material` makes, against the other side (D,).

    None for a template of one sample, which carries it all, and of more samples than are explained. Raises what the
    engine raises.
    """
    result = await creator.aggregate_again(material)
    aggregation = result.aggregation
    if aggregation is None or aggregation.without is None:
        return None
    score = compare_vectors(aggregation.vector, other)
    used = [outcome for outcome in result.outcomes if isinstance(outcome, EmbeddedSample)]
    return tuple(
        SampleContribution(sample.digest, score - compare_vectors(without, other))
        for sample, without in zip(used, aggregation.without, strict=True)
    )
