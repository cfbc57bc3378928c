from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.aggregates import pool_by_norm
from models.evaluation.report.conditions import KINDS, MAIN, MIXED, SHARES, SIZES
from models.evaluation.report.measuring import det_curves, measure, norm_quality, sweep
from models.evaluation.set_protocol import compare_draws, draw_sets
from service.calibration.error_rates import false_non_match_rate, threshold_at
from tests.models.sets import synthetic_people

CACHE = synthetic_people(np.random.default_rng(0), 90, 4, 4)
METHODS = {"norm^4": pool_by_norm(4.0), "average": pool_by_norm(0.0)}


def test_titles_are_distinct() -> None:
    for conditions in (MAIN, SIZES, SHARES, KINDS):
        assert len({condition.title for condition in conditions}) == len(conditions)


def test_a_curve_goes_through_the_rates_at_its_points() -> None:
    curve = det_curves(CACHE, METHODS)["average"]
    scores = compare_draws(CACHE, list(draw_sets(CACHE, MIXED.protocol)), METHODS["average"])
    assert (curve.fmr * len(scores.non_mated) >= 30).all()
    assert (np.diff(curve.fnmr) <= 0).all()
    for fmr, fnmr in list(zip(curve.fmr, curve.fnmr, strict=True))[::10]:
        assert fnmr == pytest.approx(false_non_match_rate(scores.mated, threshold_at(scores.non_mated, fmr)))


def test_a_sweep_holds_the_same_figures_as_the_measurement() -> None:
    rows = sweep(lambda _: CACHE, METHODS, (MIXED, SIZES[0]))
    rates = measure(CACHE, METHODS, MIXED, resamples=2)
    assert rows["average"][0] == pytest.approx(rates["average"][1].fnmr)
    few = sweep(lambda _: synthetic_people(np.random.default_rng(0), 12, 4, 4), METHODS, (MIXED,))
    assert few["average"] == [None]


def test_likeness_is_measured_against_other_images() -> None:
    quality = norm_quality(CACHE)
    assert len(quality.norms) == len(CACHE.norms) and int((~quality.degraded).sum()) == 90 * 4
    assert quality.likeness[~quality.degraded].mean() > quality.likeness[quality.degraded].mean()
    person, image = CACHE.person == 0, CACHE.image == 0
    others = (CACHE.embeddings * CACHE.norms[:, None])[person & ~image & (CACHE.version == 0)].sum(axis=0)
    assert quality.likeness[0] == pytest.approx(CACHE.embeddings[0] @ others / np.linalg.norm(others), abs=1e-5)
