"""Every method under every condition, on people that decided nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import CLEAN, EmbeddingCache
from models.evaluation.folder_sets import TUNED_AT
from models.evaluation.report.conditions import MIXED, Condition
from models.evaluation.set_protocol import Aggregate, compare_draws, draw_sets
from service.calibration.error_rates import (
    FEWEST_FALSE_MATCHES,
    FMRS,
    ErrorRates,
    error_rates,
    false_non_match_rate,
    threshold_at,
)

_CURVE = np.logspace(-5.0, -0.5, 91)

Methods = Mapping[str, Aggregate]
Rates = dict[str, list[ErrorRates]]
CacheOf = Callable[[Condition], EmbeddingCache]


@dataclass(frozen=True, slots=True)
class DetCurve:
    """FNMR against FMR, only where 30 false matches or more stand behind the FMR."""

    fmr: NDArray[np.float64]  # (C,)
    fnmr: NDArray[np.float64]  # (C,)


@dataclass(frozen=True, slots=True)
class NormQuality:
    """Of every sample: its feature norm, whether it is degraded, and how well it shows its person."""

    norms: NDArray[np.float32]  # (R,)
    degraded: NDArray[np.bool_]  # (R,)
    likeness: NDArray[np.float32]  # (R,)
    """Cosine to the norm-weighted mean of the person's other clean images."""


def measure(cache: EmbeddingCache, methods: Methods, condition: Condition, *, resamples: int) -> Rates:
    """Error rates with intervals, all methods on the same sets."""
    draws = list(draw_sets(cache, condition.protocol))
    return {
        name: error_rates(compare_draws(cache, draws, aggregate), FMRS, resamples=resamples)
        for name, aggregate in methods.items()
    }


def sweep(cache_of: CacheOf, methods: Methods, conditions: Sequence[Condition]) -> dict[str, list[float | None]]:
    """FNMR at FMR 1e-3 of each method under each condition; None with fewer than 30 false matches behind it."""
    rows: dict[str, list[float | None]] = {name: [] for name in methods}
    for condition in conditions:
        cache = cache_of(condition)
        draws = list(draw_sets(cache, condition.protocol))
        for name, aggregate in methods.items():
            scores = compare_draws(cache, draws, aggregate)
            enough = TUNED_AT * len(scores.non_mated) >= FEWEST_FALSE_MATCHES
            missed = false_non_match_rate(scores.mated, threshold_at(scores.non_mated, TUNED_AT))
            rows[name].append(missed if enough else None)
    return rows


def det_curves(cache: EmbeddingCache, methods: Methods) -> dict[str, DetCurve]:
    """On mixed sets."""
    draws = list(draw_sets(cache, MIXED.protocol))
    curves = {}
    for name, aggregate in methods.items():
        scores = compare_draws(cache, draws, aggregate)
        fmrs = _CURVE[_CURVE * len(scores.non_mated) >= FEWEST_FALSE_MATCHES]
        highest_first = np.sort(scores.non_mated)[::-1]
        thresholds = highest_first[np.minimum((fmrs * len(highest_first)).astype(int), len(highest_first) - 1)]
        mated = np.sort(scores.mated)
        curves[name] = DetCurve(fmrs, np.searchsorted(mated, thresholds, side="right") / len(mated))
    return curves


def norm_quality(cache: EmbeddingCache) -> NormQuality:
    """Over the people with two usable images or more."""
    clean = cache.version == CLEAN
    features = cache.embeddings * cache.norms[:, None]
    rows, likeness = [], []
    for person in cache.people():
        if len(person.images) < 2:
            continue
        own = np.flatnonzero((cache.person == person.person) & clean)
        total = features[own].sum(axis=0)
        for image in person.images:
            others = total - features[image.clean].sum(axis=0)
            of_image = np.concatenate([image.clean, image.degraded])
            rows.append(of_image)
            likeness.append(cache.embeddings[of_image] @ others / np.linalg.norm(others))
    chosen = np.concatenate(rows)
    return NormQuality(cache.norms[chosen], ~clean[chosen], np.concatenate(likeness).astype(np.float32))
