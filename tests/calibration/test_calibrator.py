from __future__ import annotations

import math
from pathlib import Path

import pytest

from service.calibration.calibrator import PackCalibrator
from service.errors import UnknownOperatingPointError, UnsupportedOperatingPointError
from service.runtime.calibration import Calibration
from tests.calibrations import make_calibration

CALIBRATOR = PackCalibrator(make_calibration("f" * 32, edges=(9.0, 11.0)))


def test_the_default_and_the_named_point() -> None:
    assert CALIBRATOR.resolve(None) == "fmr_1e-3"
    assert CALIBRATOR.resolve("fmr_1e-4") == "fmr_1e-4"


def test_what_the_data_cannot_carry_is_told_apart_from_what_is_no_name() -> None:
    with pytest.raises(UnsupportedOperatingPointError, match="fmr_1e-2, fmr_1e-3, fmr_1e-4"):
        CALIBRATOR.resolve("fmr_1e-6")
    for name in ("fmr_1e-10", "fmr", "", "FMR_1E-3", "fmr_1e-3 "):
        with pytest.raises(UnknownOperatingPointError):
            CALIBRATOR.resolve(name)


def test_without_a_calibration_nothing_is_decided() -> None:
    for name in (None, "fmr_1e-3"):
        with pytest.raises(UnknownOperatingPointError, match="no calibration"):
            PackCalibrator(None).resolve(name)


@pytest.mark.parametrize(
    ("norms", "threshold", "levels"),
    [
        ((8.0, 8.0), 0.3, ("low", "low")),
        ((8.0, 10.0), 0.2, ("low", "medium")),
        ((10.0, 8.0), 0.2, ("medium", "low")),
        ((12.0, 10.0), 0.0, ("high", "medium")),
        ((9.0, 11.0), 0.0, ("medium", "high")),
        ((12.0, 12.0), -0.1, ("high", "high")),
    ],
)
def test_the_two_norms_choose_the_threshold(
    norms: tuple[float, float], threshold: float, levels: tuple[str, str]
) -> None:
    found = CALIBRATOR.calibrate(0.5, *norms, "fmr_1e-3")
    assert found.operating_point.threshold == pytest.approx(threshold)
    assert (found.reference_level, found.probe_level) == levels
    assert found.llr == pytest.approx(10.0 * (0.5 - (threshold - 0.1)))


SHIPPED = sorted((Path(__file__).parents[2] / "models" / "packs").glob("*/calibration.json"))


def test_the_highest_norm_is_beyond_every_measured_one_where_norms_decide() -> None:
    assert CALIBRATOR.highest_norm == 22.0
    assert PackCalibrator(make_calibration("f" * 32)).highest_norm == math.inf
    assert PackCalibrator(None).highest_norm == math.inf
    assert len(SHIPPED) == 2
    for path in SHIPPED:
        calibration = Calibration.model_validate_json(path.read_bytes())
        assert calibration.quality_scale is not None
        assert PackCalibrator(calibration).highest_norm == 2.0 * calibration.quality_scale.template_norms[-1]
        poor_site = calibration.model_copy(update={"level_edges": (2.0, 3.0)})
        assert PackCalibrator(poor_site).highest_norm == PackCalibrator(calibration).highest_norm


def test_a_side_of_unknown_quality_is_held_to_the_strictest() -> None:
    known = CALIBRATOR.calibrate(0.5, 8.0, 12.0, "fmr_1e-3")
    unknown = CALIBRATOR.calibrate(0.5, None, 12.0, "fmr_1e-3")
    assert unknown.operating_point.threshold == known.operating_point.threshold
    assert unknown.llr == known.llr
    assert (unknown.reference_level, unknown.probe_level) == ("unknown", "high")
    nothing_known = CALIBRATOR.calibrate(0.5, None, None, "fmr_1e-3")
    assert nothing_known.operating_point == CALIBRATOR.calibrate(0.5, 1.0, 1.0, "fmr_1e-3").operating_point


def test_the_ratio_never_falls_as_the_score_rises() -> None:
    llrs = [CALIBRATOR.calibrate(score / 50.0, 8.0, 10.0, "fmr_1e-3").llr for score in range(-60, 60)]
    assert llrs == sorted(llrs)
