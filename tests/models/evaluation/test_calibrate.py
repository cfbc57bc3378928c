from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.calibrate import NAMES, calibrate, observed_table
from models.evaluation.metrics import ComparisonScores
from models.evaluation.mixed_protocol import Kind
from service.runtime.manifest import OperatingPointSpec


def scores_of(people: int, seed: int) -> dict[Kind, ComparisonScores]:
    rng = np.random.default_rng(seed)
    pairs = np.stack(np.triu_indices(people, 1), axis=1)
    return {
        kind: ComparisonScores(
            rng.normal(0.6, 0.1, people), np.arange(people), rng.normal(0.0, 0.1, len(pairs)), pairs, people
        )
        for kind in Kind
    }


def test_operating_points_rise_and_have_enough_behind_them() -> None:
    rates = calibrate(scores_of(500, 0), resamples=20)
    assert [rate.fmr for rate in rates] == list(NAMES.values())
    assert rates[0].threshold < rates[1].threshold < rates[2].threshold
    assert all(rate.false_matches >= 30 for rate in rates)


def test_too_few_people_are_refused() -> None:
    with pytest.raises(ValueError, match="measure more people"):
        calibrate(scores_of(40, 0), resamples=2)


def test_the_report_counts_at_or_above_the_threshold() -> None:
    scores = scores_of(3, 0)
    for part in scores.values():
        part.non_mated[:] = [0.5, 0.4, 0.1]
        part.mated[:] = [0.5, 0.9, 0.2]
    point = OperatingPointSpec(
        name="fmr_1e-2",
        fmr=0.01,
        threshold=0.5,
        threshold_interval=(0.4, 0.6),
        false_matches=1,
        comparisons=3,
        fnmr=0.0,
        mated_comparisons=3,
    )
    table = observed_table(scores, [point])
    assert "| fmr_1e-2 (0.5000) | set / set | 3.33e-01 (1 of 3) | 0.3333 (of 3) |" in table
    assert "| all | 3.33e-01 (3 of 9) | 0.3333 (of 9) |" in table
