"""What a comparison score means at the quality of its two templates."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from service.calibration.comparisons import Bucket, buckets_of
from service.decisions import CalibratedScore, OperatingPoint
from service.errors import UnknownOperatingPointError, UnsupportedOperatingPointError
from service.runtime.calibration import BucketSpec, Calibration, OperatingPointSpec

UNKNOWN_LEVEL = "unknown"
_NORM_MARGIN = 2.0
"""How many times the highest measured norm (without a scale: the highest edge of a level) a norm is believed."""
_POINT_NAME = re.compile(r"fmr_1e-[1-9]")


class PackCalibrator:
    """The `ScoreCalibrator` of a pack. Without a calibration it knows no operating point."""

    def __init__(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self._buckets: dict[Bucket, BucketSpec] = (
            {} if calibration is None else {(spec.better, spec.worse): spec for spec in calibration.buckets}
        )
        # As arrays once: made of tuples they would take most of a comparison's time.
        self._llr_curves = {
            bucket: (np.array(spec.likelihood.scores), np.array(spec.likelihood.llrs))
            for bucket, spec in self._buckets.items()
        }

    @property
    def highest_norm(self) -> float:
        """No template of the pack has a norm above it; infinite where there are no levels for norms to decide on."""
        if self._calibration is None or not self._calibration.level_edges:
            return math.inf
        scale = self._calibration.quality_scale
        return _NORM_MARGIN * max(self._calibration.level_edges[-1], scale.template_norms[-1] if scale else 0.0)

    def resolve(self, name: str | None) -> str:
        """`name`, or the default for None. Raises `UnknownOperatingPointError`, `UnsupportedOperatingPointError`."""
        if self._calibration is None:
            raise UnknownOperatingPointError("This pack has no calibration: it makes templates, and no decisions.")
        if name is None:
            return self._calibration.default_operating_point
        if name in self._calibration.point_names:
            return name
        known = ", ".join(self._calibration.point_names)
        if _POINT_NAME.fullmatch(name):
            raise UnsupportedOperatingPointError(
                f"The data of this calibration support no threshold at {name}; what they support: {known}."
            )
        raise UnknownOperatingPointError(f"Operating point {name!r} is not one of this pack's: {known}.")

    def false_match_rate(self, name: str) -> float:
        """The one that a resolved operating point is named by."""
        points = next(iter(self._buckets.values())).operating_points
        return next(point.fmr for point in points if point.name == name)

    def calibrate(
        self, score: float, reference_norm: float | None, probe_norm: float | None, name: str
    ) -> CalibratedScore:
        """`name`: one that `resolve` answered. A side whose template norm is None may be of any quality: what decides
        then is the highest threshold, and what counts is the lowest likelihood ratio, that it could have."""
        levels = [self._levels_of(norm) for norm in (reference_norm, probe_norm)]
        possible = {(max(first, second), min(first, second)) for first in levels[0] for second in levels[1]}
        buckets = sorted(possible)
        specs = [self._buckets[bucket] for bucket in buckets]
        points = [point for spec in specs for point in spec.operating_points if point.name == name]
        strictest = max(range(len(specs)), key=lambda index: points[index].threshold)
        return CalibratedScore(
            score=score,
            llr=min(float(np.interp(score, *self._llr_curves[bucket])) for bucket in buckets),
            operating_point=_operating_point(points[strictest], specs[strictest]),
            reference_level=self._level_name(reference_norm),
            probe_level=self._level_name(probe_norm),
            band=_band(specs, score),
        )

    def _levels_of(self, norm: float | None) -> tuple[int, ...]:
        if self._calibration is None:
            raise UnknownOperatingPointError("This pack has no calibration: it makes templates, and no decisions.")
        edges = self._calibration.level_edges
        if norm is None:
            return tuple(worse for better, worse in buckets_of(len(edges) + 1) if better == len(edges))
        return (bisect_right(edges, norm),)

    def _level_name(self, norm: float | None) -> str:
        if norm is None or self._calibration is None:
            return UNKNOWN_LEVEL
        return self._calibration.levels[self._levels_of(norm)[0]]


def _band(specs: Sequence[BucketSpec], score: float) -> str | None:
    """By the highest of the thresholds that each operating point has in these buckets."""
    met = [
        points[0]
        for points in zip(*(spec.operating_points for spec in specs), strict=True)
        if score >= max(point.threshold for point in points)
    ]
    return min(met, key=lambda point: point.fmr).name if met else None


def _operating_point(spec: OperatingPointSpec, bucket: BucketSpec) -> OperatingPoint:
    return OperatingPoint(
        name=spec.name,
        fmr=spec.fmr,
        threshold=spec.threshold,
        threshold_interval=spec.threshold_interval,
        false_matches=spec.false_matches,
        comparisons=bucket.comparisons,
    )
