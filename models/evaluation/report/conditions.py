"""What the report measures: sets of every size and quality, one condition a line of its tables."""

from __future__ import annotations

from dataclasses import dataclass

from models.aggregation.degradation import DegradationKind
from models.evaluation.set_protocol import SetProtocol


@dataclass(frozen=True, slots=True)
class Condition:
    """One kind of sample sets."""

    title: str
    protocol: SetProtocol
    kind: DegradationKind | None = None
    """The only degradation; None: what comes up of all."""


MIXED = Condition("mixed: 2 to 12 samples, 80 % degraded", SetProtocol())
"""The condition that the headline figures are for."""

MAIN = (
    MIXED,
    Condition("clean: 2 to 12 photographs, fewer where a person has fewer", SetProtocol(degraded_share=0.0)),
    Condition("contaminated: as mixed, and one sample of somebody else", SetProtocol(intruders=1)),
    Condition("duplicated: as mixed, and one sample three times more", SetProtocol(duplicates=3)),
    Condition("one clean photograph", SetProtocol(smallest=1, largest=1, degraded_share=0.0)),
    Condition("one sample, 80 % degraded", SetProtocol(smallest=1, largest=1)),
)
SIZES = tuple(Condition(str(size), SetProtocol(smallest=size, largest=size)) for size in (1, 2, 3, 5, 8, 12, 20))
"""80 % degraded."""
SHARES = tuple(Condition(f"{share:.0%}", SetProtocol(degraded_share=share)) for share in (0.0, 0.25, 0.5, 0.8, 1.0))
"""Of the samples that are degraded; 2 to 12 of them."""
KINDS = tuple(
    Condition(kind.value.replace("_", " "), SetProtocol(degraded_share=1.0), kind) for kind in DegradationKind
)
"""2 to 12 samples, all of them degraded in one way."""
