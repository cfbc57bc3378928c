"""What comes to a simulated site: sets at random, or clients that send the next set when the last one is answered."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    samples: int


SizeOf = Callable[[random.Random], int]
"""Draws the number of samples of a set."""


def sizes_between(least: int, most: int) -> SizeOf:
    """Each as likely as the others, both ends included."""
    return lambda random_: random_.randint(least, most)


def poisson_arrivals(sets_per_s: float, count: int, size_of: SizeOf, seed: int) -> list[Arrival]:
    """`count` sets with exponential times between them."""
    random_ = random.Random(seed)  # noqa: S311 (no secret depends on it)  # nosec B311
    arrivals: list[Arrival] = []
    at_s = 0.0
    for _ in range(count):
        at_s += random_.expovariate(sets_per_s)
        arrivals.append(Arrival(at_s, size_of(random_)))
    return arrivals


def set_sizes(count: int, size_of: SizeOf, seed: int) -> list[int]:
    """For clients in a closed loop, in the order in which they are sent."""
    random_ = random.Random(seed)  # noqa: S311 (no secret depends on it)  # nosec B311
    return [size_of(random_) for _ in range(count)]
