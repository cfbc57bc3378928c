"""Comparison scores as log-likelihood ratios: how much more often mated comparisons score so than non-mated ones.

Fitted by pool-adjacent-violators (Zadrozny & Elkan, KDD 2002; Brummer & du Preez, Computer Speech & Language 2006):
the monotone curve that no other monotone curve beats on the data it was fitted to. Natural logarithms throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

RULE = 30
"""Fewer comparisons than this say nothing of a rate: the curve ends where so many would be left beyond it."""
_BINS = 400


@dataclass(frozen=True, slots=True)
class LikelihoodCurve:
    """Straight lines between knots, level beyond the first and the last."""

    scores: tuple[float, ...]
    """Rising."""
    llrs: tuple[float, ...]
    """Never falling."""

    def at(self, scores: Scores) -> NDArray[np.float64]:
        """(Q,) -> (Q,)."""
        return np.interp(scores, self.scores, self.llrs)


def fit_likelihood(mated: Scores, non_mated: Scores) -> LikelihoodCurve:
    """From mated scores (M,) and non-mated scores (Q,), each class counting as a whole.

    Bounded by what the data can carry: at most log(Q / 30), at least -log(M / 30). Raises ValueError where either
    has no more than 30 scores.
    """
    if min(len(mated), len(non_mated)) <= RULE:
        raise ValueError(f"a likelihood ratio needs more than {RULE} mated and {RULE} non-mated comparisons")
    thinned = non_mated[:: max(1, len(non_mated) // (10 * len(mated)))]
    edges = np.unique(np.quantile(np.concatenate([mated, thinned]), np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    mated_mass, mated_sum = _masses(mated, edges)
    other_mass, other_sum = _masses(non_mated, edges)
    mass, centre_sum = mated_mass + other_mass, mated_sum + other_sum
    kept = mass > 0.0
    shares, blocks = pool_adjacent_violators(mated_mass[kept] / mass[kept], mass[kept])
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    centres = np.add.reduceat(centre_sum[kept], starts) / np.add.reduceat(mass[kept], starts)
    with np.errstate(divide="ignore"):
        llrs = np.log(shares[starts]) - np.log1p(-shares[starts])
    bounded = np.clip(llrs, -np.log(len(mated) / RULE), np.log(len(non_mated) / RULE))
    return LikelihoodCurve(tuple(centres.tolist()), tuple(bounded.tolist()))


def pool_adjacent_violators(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The never-falling sequence (B,) nearest to `values` (B,) in weighted squares, and the number of the level block
    that each place belongs to (B,)."""
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        masses.append(weight)
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mass = masses[-2] + masses[-1]
            means[-2:] = [(means[-2] * masses[-2] + means[-1] * masses[-1]) / mass]
            masses[-2:] = [mass]
            counts[-2:] = [counts[-2] + counts[-1]]
    blocks = np.repeat(np.arange(len(counts)), counts)
    return np.array(means)[blocks], blocks


def cost_of_llrs(mated: NDArray[np.float64], non_mated: NDArray[np.float64]) -> float:
    """Cllr, bits: 0 for ratios that are always right, 1 for ones that say nothing (Brummer & du Preez, 2006)."""
    missed, matched = np.logaddexp(0.0, -mated).mean(), np.logaddexp(0.0, non_mated).mean()
    return float((missed + matched) / (2.0 * np.log(2.0)))


def _masses(scores: Scores, edges: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each bin: its share of the class, and that share times its mean score. (B,), (B,)."""
    bins = np.searchsorted(edges, scores, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    sums = np.bincount(bins, weights=scores, minlength=len(edges) + 1)
    return counts / len(scores), sums / len(scores)
