"""Error rates of 1:1 comparison (ISO/IEC 19795-1) and their uncertainty.

A comparison matches when its score is at or above the threshold. Thresholds are conservative: the observed FMR
at a threshold never exceeds the rate it is named after, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

FMRS = (1e-2, 1e-3, 1e-4)
"""Where rates are given."""
FEWEST_FALSE_MATCHES = 30
"""Behind each rate: the rule of 30, below which it is no better known than by half of itself."""


@dataclass(frozen=True, slots=True)
class ComparisonScores:
    """Scored pairs with the people behind them, numbered 0..P-1."""

    mated: Scores  # (M,)
    mated_person: NDArray[np.integer]  # (M,)
    non_mated: Scores  # (Q,)
    non_mated_people: NDArray[np.integer]  # (Q, 2)
    people: int
    """P."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """What a threshold at a wanted FMR costs. Intervals are 95 %, by bootstrap over people."""

    fmr: float
    """The wanted rate."""
    threshold: float
    threshold_interval: tuple[float, float]
    false_matches: int
    comparisons: int
    fnmr: float
    fnmr_interval: tuple[float, float]
    """Of the FNMR at the threshold that the same resampled people give."""
    mated_comparisons: int


def is_reported(rate: ErrorRates) -> bool:
    """Whether enough false matches were observed for the figure to mean something."""
    return rate.false_matches >= FEWEST_FALSE_MATCHES


def threshold_at(non_mated: Scores, fmr: float) -> float:
    """The lowest threshold at which at most `fmr` of the non-mated scores (Q,) match."""
    allowed = int(np.floor(fmr * len(non_mated) + 1e-9))
    if allowed >= len(non_mated):
        return float(non_mated.min())
    first_refused = np.partition(non_mated, len(non_mated) - 1 - allowed)[len(non_mated) - 1 - allowed]
    return float(np.nextafter(first_refused, np.inf))


def false_match_count(non_mated: Scores, threshold: float) -> int:
    """Non-mated scores at or above the threshold."""
    return int(np.count_nonzero(non_mated >= threshold))


def false_non_match_rate(mated: Scores, threshold: float) -> float:
    """Share of mated scores below the threshold."""
    return float(np.mean(mated < threshold))


def error_rates(
    scores: ComparisonScores, fmrs: tuple[float, ...], *, resamples: int = 500, seed: int = 0
) -> list[ErrorRates]:
    """Thresholds and FNMRs at the wanted rates, with intervals over people."""
    bootstrap = _PeopleBootstrap(scores, max(fmrs))
    rng = np.random.default_rng(seed)
    drawn = [bootstrap.draw(rng, fmrs) for _ in range(resamples)]
    rates = []
    for column, fmr in enumerate(fmrs):
        threshold = threshold_at(scores.non_mated, fmr)
        rates.append(
            ErrorRates(
                fmr=fmr,
                threshold=threshold,
                threshold_interval=_interval([draw[column][0] for draw in drawn]),
                false_matches=false_match_count(scores.non_mated, threshold),
                comparisons=len(scores.non_mated),
                fnmr=false_non_match_rate(scores.mated, threshold),
                fnmr_interval=_interval([draw[column][1] for draw in drawn]),
                mated_comparisons=len(scores.mated),
            )
        )
    return rates


class _PeopleBootstrap:
    """People are drawn with replacement; a pair counts as often as both of its people were drawn. Only the
    highest non-mated scores can set a threshold, so only they are kept."""

    def __init__(self, scores: ComparisonScores, highest_fmr: float) -> None:
        self._scores = scores
        kept = min(len(scores.non_mated), int(np.ceil(3.0 * highest_fmr * len(scores.non_mated))) + 1)
        order = np.argpartition(scores.non_mated, len(scores.non_mated) - kept)[-kept:]
        order = order[np.argsort(-scores.non_mated[order], kind="stable")]
        self._highest = scores.non_mated[order]
        self._pairs = scores.non_mated_people[order]
        first, second = scores.non_mated_people[:, 0], scores.non_mated_people[:, 1]
        pairs = first.astype(np.int64) * scores.people + second
        counts = np.bincount(pairs, minlength=scores.people**2).reshape(scores.people, scores.people)
        self._pair_counts = counts.astype(np.float64)

    def draw(self, rng: np.random.Generator, fmrs: tuple[float, ...]) -> list[tuple[float, float]]:
        """Threshold and FNMR at each rate on one resample."""
        people = self._scores.people
        times = np.bincount(rng.integers(people, size=people), minlength=people).astype(np.float64)
        total = float(times @ self._pair_counts @ times)
        matched = np.cumsum(times[self._pairs[:, 0]] * times[self._pairs[:, 1]])
        weights = times[self._scores.mated_person]
        answers = []
        for fmr in fmrs:
            refused = min(int(np.searchsorted(matched, fmr * total, side="right")), len(self._highest) - 1)
            threshold = float(np.nextafter(self._highest[refused], np.inf))
            missed = float(weights[self._scores.mated < threshold].sum())
            answers.append((threshold, missed / max(float(weights.sum()), 1.0)))
        return answers


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
