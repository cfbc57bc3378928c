"""Comparisons -> the calibration of a pack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from service.calibration.comparisons import Bucket, TemplateGroup, compare_groups, level_edges
from service.calibration.error_rates import FEWEST_FALSE_MATCHES, ComparisonScores, ErrorRates, error_rates
from service.calibration.likelihood import RULE, fit_likelihood
from service.runtime.calibration import (
    LEVEL_NAMES,
    BucketSpec,
    Calibration,
    ConsistencySpec,
    LikelihoodSpec,
    OperatingPointSpec,
    QualityScaleSpec,
)

POINTS = {f"fmr_1e-{digits}": 10.0**-digits for digits in range(2, 6)}
PREFERRED_POINT = "fmr_1e-4"
"""The default operating point, or the nearest one to it that the data support."""
_DIGITS = 6
"""Decimals of what is written: far below any interval."""

Comparisons = Mapping[Bucket, ComparisonScores]


class UnsupportedDataError(ValueError):
    """Too few people, or too few pictures of them, for any threshold."""


def fit_calibration(
    everyone: TemplateGroup,
    mated_again: Sequence[TemplateGroup],
    *,
    fingerprint: str,
    data: str,
    command: str,
    resamples: int,
    quality_scale: QualityScaleSpec | None,
    consistency: ConsistencySpec | None,
) -> Calibration:
    """With as many quality levels as cost no operating point. See `compare_groups` for the groups. `quality_scale` and
    `consistency` go with it as they are.

    An operating point is there when every bucket has 30 false matches behind it. Raises `UnsupportedDataError`.
    """
    edges, comparisons = _most_levels(everyone, mated_again)
    names = _supported(comparisons)
    return Calibration(
        schema_version=2,
        fingerprint=fingerprint,
        data=data,
        command=command,
        default_operating_point=min(names, key=lambda name: abs(math.log(POINTS[name] / POINTS[PREFERRED_POINT]))),
        level_edges=tuple(round(edge, _DIGITS) for edge in edges),
        buckets=tuple(
            _fit_bucket(bucket, scores, names, resamples=resamples) for bucket, scores in comparisons.items()
        ),
        quality_scale=quality_scale,
        consistency=consistency,
    )


def _most_levels(everyone: TemplateGroup, mated_again: Sequence[TemplateGroup]) -> tuple[Sequence[float], Comparisons]:
    pooled = compare_groups(everyone, mated_again, ())
    wanted = _supported(pooled)
    if not wanted:
        [scores] = pooled.values()
        raise UnsupportedDataError(
            f"{len(scores.non_mated):,} non-mated and {len(scores.mated):,} mated comparisons are too few: FMR 1e-2 "
            f"needs {round(FEWEST_FALSE_MATCHES / POINTS['fmr_1e-2']):,} and {RULE + 1}; add people, and people with "
            "several pictures"
        )
    for levels in sorted(LEVEL_NAMES, reverse=True):
        edges = [round(edge, _DIGITS) for edge in level_edges((everyone, *mated_again), levels)]
        if len(set(edges)) == levels - 1:
            comparisons = compare_groups(everyone, mated_again, edges)
            if _supported(comparisons) == wanted:
                return edges, comparisons
    return (), pooled


def _supported(comparisons: Comparisons) -> list[str]:
    """Operating points with 30 false matches in every bucket."""
    fewest = min(len(scores.non_mated) for scores in comparisons.values())
    if min(len(scores.mated) for scores in comparisons.values()) <= RULE:
        return []
    return [name for name, fmr in POINTS.items() if math.floor(fmr * fewest + 1e-9) >= FEWEST_FALSE_MATCHES]


def _fit_bucket(bucket: Bucket, scores: ComparisonScores, names: Sequence[str], *, resamples: int) -> BucketSpec:
    curve = fit_likelihood(scores.mated, scores.non_mated)
    rates = error_rates(scores, tuple(POINTS[name] for name in names), resamples=resamples)
    return BucketSpec(
        better=bucket[0],
        worse=bucket[1],
        comparisons=len(scores.non_mated),
        mated_comparisons=len(scores.mated),
        likelihood=LikelihoodSpec(
            scores=tuple(round(score, _DIGITS) for score in curve.scores),
            llrs=tuple(round(llr, _DIGITS) for llr in curve.llrs),
        ),
        operating_points=tuple(_point(name, rate, scores) for name, rate in zip(names, rates, strict=True)),
    )


def _point(name: str, rate: ErrorRates, scores: ComparisonScores) -> OperatingPointSpec:
    falsely = scores.non_mated_people[scores.non_mated >= rate.threshold]
    return OperatingPointSpec(
        name=name,
        fmr=rate.fmr,
        threshold=rate.threshold,
        threshold_interval=rate.threshold_interval,
        false_matches=rate.false_matches,
        false_match_pairs=len(np.unique(falsely, axis=0)),
        fnmr=rate.fnmr,
    )
