from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import isotonic_regression

from service.calibration.likelihood import cost_of_llrs, fit_likelihood, pool_adjacent_violators


@given(st.data(), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_the_monotone_fit_is_scipys(data: st.DataObject, size: int) -> None:
    values = data.draw(hnp.arrays(np.float64, size, elements=st.floats(0, 1)))
    weights = data.draw(hnp.arrays(np.float64, size, elements=st.floats(0.01, 1)))
    fitted, blocks = pool_adjacent_violators(values, weights)
    assert fitted == pytest.approx(isotonic_regression(values, weights=weights).x, abs=1e-9)
    assert (np.diff(blocks) >= 0).all()


def test_ratios_of_two_normal_distributions_are_found_again() -> None:
    """Means 0 and 3, deviation 1: the true ratio is 3 s - 4.5."""
    rng = np.random.default_rng(0)
    curve = fit_likelihood(rng.normal(3.0, 1.0, 20_000), rng.normal(0.0, 1.0, 200_000))
    scores = np.linspace(0.0, 3.0, 13)
    assert curve.at(scores) == pytest.approx(3.0 * scores - 4.5, abs=0.5)
    assert (np.diff(curve.at(np.linspace(-10.0, 10.0, 200))) >= 0.0).all()


def test_the_curve_ends_where_the_data_end() -> None:
    rng = np.random.default_rng(0)
    curve = fit_likelihood(rng.normal(9.0, 1.0, 300), rng.normal(0.0, 1.0, 30_000))
    assert curve.at(np.array([100.0]))[0] == pytest.approx(np.log(30_000 / 30))
    assert curve.at(np.array([-100.0]))[0] == pytest.approx(-np.log(300 / 30))


@pytest.mark.parametrize(("mated", "non_mated"), [(30, 1000), (1000, 30), (0, 1000)])
def test_too_little_is_refused(mated: int, non_mated: int) -> None:
    with pytest.raises(ValueError, match="needs more than 30"):
        fit_likelihood(np.ones(mated), np.zeros(non_mated))


def test_a_worthless_ratio_costs_one_bit_and_a_right_one_nothing() -> None:
    assert cost_of_llrs(np.zeros(5), np.zeros(7)) == pytest.approx(1.0)
    assert cost_of_llrs(np.full(5, 50.0), np.full(7, -50.0)) == pytest.approx(0.0, abs=1e-9)
    assert cost_of_llrs(np.full(5, -5.0), np.full(7, 5.0)) > 1.0
