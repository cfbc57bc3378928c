"""Sample sets of the people in a folder: every aggregate on the same sets, with what could not be acquired counted.

Rates follow ISO/IEC 19795-1: an image without a usable face is a failure to acquire; a person who has two images or
more but fewer than two usable ones is a failure to enrol, whose mated comparisons are counted as non-matches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import numpy as np

from models.aggregation.data import EmbeddingCache
from models.datasets.people import Person
from models.evaluation.aggregates import pool_by_norm
from models.evaluation.set_protocol import Aggregate, SetDraw, SetProtocol, compare_draws, draw_sets
from service.calibration.error_rates import (
    FEWEST_FALSE_MATCHES,
    FMRS,
    ErrorRates,
    error_rates,
    false_non_match_rate,
    is_reported,
    threshold_at,
)

POWERS = tuple(np.arange(0.0, 12.5, 0.5).tolist())
TUNED_AT = 1e-3
"""The FMR at which a pooling is tuned."""
_MOST_DRAWS = 100
_FEWEST_DRAWS = 10


class ProtocolName(StrEnum):
    """Sets of 2 to 12 samples, unlike in quality."""

    MIXED = "mixed"
    """80 % degraded."""
    CLEAN = "clean"
    """Photographs as they are."""
    CONTAMINATED = "contaminated"
    """As mixed, and each set holds one more sample that is somebody else."""


def protocol_of(name: ProtocolName, people: int) -> SetProtocol:
    """With as many draws as FMR 1e-4 needs for its false matches, 10 to 100. `people`: those with two images."""
    pairs = max(1, people * (people - 1))
    needed = math.ceil(FEWEST_FALSE_MATCHES / (min(FMRS) * pairs))
    draws = min(_MOST_DRAWS, max(_FEWEST_DRAWS, needed))
    return SetProtocol(
        degraded_share=0.0 if name is ProtocolName.CLEAN else 0.8,
        intruders=int(name is ProtocolName.CONTAMINATED),
        draws=draws,
    )


def usable_people(cache: EmbeddingCache) -> int:
    """Those with two usable images or more."""
    return sum(len(person.images) >= 2 for person in cache.people())


@dataclass(frozen=True, slots=True)
class SetReport:
    """What `coreface-evaluate sets` answers."""

    methods: dict[str, list[ErrorRates]]
    """Rates in the order of `FMRS`, failures to enrol counted as non-matches."""
    best_power: float
    """Of the single power of the norm that is best on these very sets: a rival tuned on the test itself."""
    protocol: SetProtocol
    mated: int
    non_mated: int
    people: int
    """Who take part: those with two usable images or more."""
    samples: int
    """Acquired samples, degraded copies included."""
    fta: float
    """Share of the photographs in which no usable face was found."""
    fte: float
    """Share of the people with two photographs or more who had fewer than two usable ones."""


def evaluate_sets(
    cache: EmbeddingCache,
    people: Sequence[Person],
    aggregates: Mapping[str, Aggregate],
    protocol: SetProtocol,
    *,
    resamples: int = 500,
    progress: Callable[[int, int], None],
) -> SetReport:
    """Every aggregate, and `best_pooling`, on the same sets. `people` are those that `cache` was extracted from.

    Raises ValueError where fewer than two people have two usable images.
    """
    usable = usable_people(cache)
    if usable < 2:
        raise ValueError("the protocol needs two people with two usable images or more")
    draws = list(draw_sets(cache, protocol))
    steps = len(POWERS) + len(aggregates) + 1
    power = best_power(cache, draws, lambda done: progress(done, steps))
    expected = sum(len(person.images) >= 2 for person in people)
    fte = 1.0 - usable / expected
    methods: dict[str, list[ErrorRates]] = {}
    mated = non_mated = 0
    for number, (method, aggregate) in enumerate({**aggregates, "best_pooling": pool_by_norm(power)}.items()):
        scores = compare_draws(cache, draws, aggregate)
        mated, non_mated = len(scores.mated), len(scores.non_mated)
        methods[method] = [_with_failures(rates, fte) for rates in error_rates(scores, FMRS, resamples=resamples)]
        progress(len(POWERS) + number + 1, steps)
    photographs = sum(len(person.images) for person in people)
    return SetReport(
        methods=methods,
        best_power=power,
        protocol=protocol,
        mated=mated,
        non_mated=non_mated,
        people=usable,
        samples=len(cache.norms),
        fta=cache.images_without_face / photographs,
        fte=fte,
    )


def best_power(cache: EmbeddingCache, draws: Sequence[SetDraw], progress: Callable[[int], None]) -> float:
    """The power of the norm whose pooling has the lowest FNMR at FMR 1e-3 on these sets. `progress` is told how many of
    `POWERS` are done."""
    missed = []
    for number, power in enumerate(POWERS):
        scores = compare_draws(cache, draws, pool_by_norm(power))
        missed.append(false_non_match_rate(scores.mated, threshold_at(scores.non_mated, TUNED_AT)))
        progress(number + 1)
    return float(POWERS[int(np.argmin(missed))])


def _with_failures(rates: ErrorRates, fte: float) -> ErrorRates:
    low, high = rates.fnmr_interval
    return replace(
        rates,
        fnmr=_folded(rates.fnmr, fte),
        fnmr_interval=(_folded(low, fte), _folded(high, fte)),
    )


def _folded(fnmr: float, fte: float) -> float:
    return fte + (1.0 - fte) * fnmr


def report_json(report: SetReport) -> dict[str, object]:
    """The JSON of the command. A rate is null where fewer than 30 false matches stand behind its FMR."""
    return {
        "methods": {name: _method_json(rates) for name, rates in report.methods.items()},
        "comparisons": {"mated": report.mated, "non_mated": report.non_mated},
        "people": report.people,
        "samples": report.samples,
        "fta": report.fta,
        "fte": report.fte,
        "best_pooling_power": report.best_power,
        "protocol": asdict(report.protocol),
    }


def _method_json(rates: Sequence[ErrorRates]) -> dict[str, object]:
    reported = {_label(rate.fmr): rate if is_reported(rate) else None for rate in rates}
    return {
        "fnmr": {fmr: None if rate is None else rate.fnmr for fmr, rate in reported.items()},
        "interval": {fmr: None if rate is None else list(rate.fnmr_interval) for fmr, rate in reported.items()},
        "false_matches": {_label(rate.fmr): rate.false_matches for rate in rates},
    }


def _label(fmr: float) -> str:
    return f"1e{round(math.log10(fmr))}"
