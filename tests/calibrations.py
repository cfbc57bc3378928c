"""Calibrations made up for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.runtime.calibration import BucketSpec, Calibration, LikelihoodSpec, OperatingPointSpec

STEP = 0.1
"""By which a level more on either side lowers every threshold."""


def make_calibration(
    fingerprint: str,
    thresholds: Mapping[str, float] = {"fmr_1e-2": 0.2, "fmr_1e-3": 0.3, "fmr_1e-4": 0.4},
    *,
    edges: Sequence[float] = (),
    default: str = "fmr_1e-3",
) -> Calibration:
    """`thresholds`: of the poorest bucket. The score's likelihood ratio is 10 times its distance to the first."""
    buckets = []
    for better in range(len(edges) + 1):
        for worse in range(better + 1):
            lower = STEP * (better + worse)
            points = [
                OperatingPointSpec(
                    name=name,
                    fmr=10.0 ** -int(name[-1]),
                    threshold=threshold - lower,
                    threshold_interval=(threshold - lower - 0.02, threshold - lower + 0.02),
                    false_matches=40,
                    false_match_pairs=35,
                    fnmr=0.01,
                )
                for name, threshold in thresholds.items()
            ]
            zero = points[0].threshold
            curve = LikelihoodSpec(scores=(-1.0, 1.0), llrs=(10.0 * (-1.0 - zero), 10.0 * (1.0 - zero)))
            buckets.append(
                BucketSpec(
                    better=better,
                    worse=worse,
                    comparisons=400_000,
                    mated_comparisons=500,
                    likelihood=curve,
                    operating_points=tuple(points),
                )
            )
    return Calibration(
        schema_version=2,
        fingerprint=fingerprint,
        data="invented",
        command="none",
        default_operating_point=default,
        level_edges=tuple(edges),
        buckets=tuple(buckets),
    )
