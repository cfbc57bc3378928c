from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.calibration.error_rates import (
    ComparisonScores,
    error_rates,
    false_match_count,
    false_non_match_rate,
    threshold_at,
)


def test_a_score_at_the_threshold_matches() -> None:
    scores = np.array([0.1, 0.5, 0.5, 0.9])
    assert false_match_count(scores, 0.5) == 3
    assert false_non_match_rate(scores, 0.5) == 0.25


@given(
    scores=st.lists(st.integers(-20, 20), min_size=1, max_size=80),
    fmr=st.sampled_from([0.5, 0.1, 0.05, 0.01, 1e-4]),
)
def test_thresholds_are_conservative_and_the_lowest_that_are(scores: list[int], fmr: float) -> None:
    non_mated = np.array(scores) / 20.0
    threshold = threshold_at(non_mated, fmr)
    assert false_match_count(non_mated, threshold) <= fmr * len(scores) + 1e-9
    at_or_below = non_mated[non_mated < threshold]
    if len(at_or_below):
        assert false_match_count(non_mated, float(at_or_below.max())) > fmr * len(scores)


def test_exact_rates_are_met() -> None:
    non_mated = np.linspace(0.0, 1.0, 1000, endpoint=False)
    for fmr, expected in ((1e-1, 100), (1e-2, 10), (1e-3, 1), (1e-4, 0)):
        assert false_match_count(non_mated, threshold_at(non_mated, fmr)) == expected


def scored_people(people: int, seed: int) -> ComparisonScores:
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(~np.eye(people, dtype=bool))
    habit = rng.normal(0.0, 0.3, people)
    return ComparisonScores(
        mated=rng.normal(2.0, 1.0, people),
        mated_person=np.arange(people),
        non_mated=rng.normal(0.0, 1.0, len(pairs)) + habit[pairs[:, 0]] + habit[pairs[:, 1]],
        non_mated_people=pairs,
        people=people,
    )


def test_intervals_hold_the_estimate_and_repeat_with_the_seed() -> None:
    scores = scored_people(120, 0)
    first, second = (error_rates(scores, (1e-1, 1e-2), resamples=100, seed=3) for _ in range(2))
    assert first == second
    for rate in first:
        assert rate.threshold_interval[0] < rate.threshold < rate.threshold_interval[1]
        assert rate.fnmr_interval[0] <= rate.fnmr <= rate.fnmr_interval[1]
        assert rate.comparisons == 120 * 119 and rate.mated_comparisons == 120
        assert rate.false_matches == int(rate.fmr * rate.comparisons)


def test_people_who_resemble_everyone_widen_the_interval() -> None:
    """Comparisons of one person move together: counting them as independent would give a far narrower interval."""
    rate = error_rates(scored_people(120, 0), (1e-2,), resamples=200)[0]
    independent = scored_people(120, 0).non_mated
    rng = np.random.default_rng(0)
    naive = [threshold_at(rng.choice(independent, len(independent)), 1e-2) for _ in range(50)]
    assert np.ptp(rate.threshold_interval) > 1.3 * np.ptp(np.percentile(naive, (2.5, 97.5)))


def test_all_rates_of_one_and_more_are_met_by_the_lowest_score() -> None:
    assert threshold_at(np.array([0.3, 0.2]), 1.0) == pytest.approx(0.2)
