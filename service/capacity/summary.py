"""What a load met, in a few numbers. Of simulated sites and of real ones alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """Of one set. Seconds on any one clock."""

    came_s: float
    went_s: float
    samples: int
    refused: bool = False

    @property
    def seconds(self) -> float:
        return self.went_s - self.came_s


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the sets that went within a span of time."""

    sets_per_s: float
    p50_s: float
    p99_s: float
    refused: int


def summarise(passages: Sequence[Passage], from_s: float, until_s: float) -> Summary:
    """Of the sets that went from `from_s` on and before `until_s`; times are not a number where none did."""
    inside = [passage for passage in passages if from_s <= passage.went_s < until_s]
    seconds = sorted(passage.seconds for passage in inside if not passage.refused)
    return Summary(
        sets_per_s=len(seconds) / (until_s - from_s),
        p50_s=quantile(seconds, 0.5),
        p99_s=quantile(seconds, 0.99),
        refused=sum(passage.refused for passage in inside),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest of `ordered`; not a number of nothing."""
    if not ordered:
        return math.nan
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
