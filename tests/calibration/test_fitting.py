from __future__ import annotations

import numpy as np
import pytest

from service.calibration.comparisons import TemplateGroup, compare_groups
from service.calibration.fitting import UnsupportedDataError, fit_calibration
from service.runtime.calibration import Calibration
from tests.calibration.groups import make_group


def fit(everyone: TemplateGroup, again: list[TemplateGroup]) -> Calibration:
    return fit_calibration(
        everyone,
        again,
        fingerprint="f" * 32,
        data="invented",
        command="none",
        resamples=20,
        quality_scale=None,
        consistency=None,
    )


def test_each_bucket_holds_the_rate_that_the_point_is_named_by() -> None:
    rng = np.random.default_rng(2)
    everyone = make_group(rng, 387, 300)
    calibration = fit(everyone, [make_group(rng, 300, 300)])
    assert calibration.levels == ("low", "medium", "high")
    assert calibration.point_names == ("fmr_1e-2", "fmr_1e-3")
    assert calibration.default_operating_point == "fmr_1e-3"
    measured = compare_groups(everyone, [], calibration.level_edges)
    for bucket in calibration.buckets:
        for point in bucket.operating_points:
            matches = np.count_nonzero(measured[bucket.better, bucket.worse].non_mated >= point.threshold)
            assert matches == point.false_matches >= 30
            assert matches / bucket.comparisons <= point.fmr
            assert 0 < point.false_match_pairs <= matches
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_levels_are_given_up_before_an_operating_point_is() -> None:
    rng = np.random.default_rng(0)
    calibration = fit(make_group(rng, 60, 60), [make_group(rng, 60, 60) for _ in range(3)])
    assert (calibration.levels, calibration.point_names) == (("any",), ("fmr_1e-2",))


@pytest.mark.parametrize(("people", "mated"), [(20, 20), (300, 3), (300, 0), (1, 1)])
def test_too_little_supports_nothing(people: int, mated: int) -> None:
    with pytest.raises(UnsupportedDataError, match="FMR 1e-2 needs 3,000 and 31"):
        fit(make_group(np.random.default_rng(0), people, mated), [])
