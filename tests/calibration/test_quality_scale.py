from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from service.calibration.quality_scale import QualityScale, measure_scale
from service.runtime.calibration import QUALITY_STEPS, QualityScaleSpec

SCALE = QualityScale(measure_scale(np.linspace(5.0, 15.0, 2001), np.linspace(1.0, 3.0, 2001)))


def test_quality_is_the_share_that_is_poorer() -> None:
    assert SCALE.of_sample(10.0) == pytest.approx(50.0)
    assert SCALE.of_sample(14.0) == pytest.approx(90.0)
    assert SCALE.of_template(1.5) == pytest.approx(25.0)


def test_quality_ends_at_0_and_100() -> None:
    assert (SCALE.of_sample(0.1), SCALE.of_sample(99.0)) == (0.0, 100.0)


@pytest.mark.parametrize("quality", [0.5, 20.0, 73.0, 100.0])
def test_the_norm_of_a_quality_has_that_quality(quality: float) -> None:
    norm = SCALE.feature_norm_at(quality)
    assert norm is not None
    assert SCALE.of_sample(norm) == pytest.approx(quality)


def test_no_quality_is_asked_for_at_0() -> None:
    assert SCALE.feature_norm_at(0.0) == QualityScale(None).feature_norm_at(0.0) == 0.0


def test_a_pack_without_a_scale_knows_no_quality() -> None:
    scale = QualityScale(None)
    assert (scale.of_sample(9.0), scale.of_template(9.0), scale.feature_norm_at(50.0)) == (None, None, None)


def test_a_scale_rises_and_is_whole() -> None:
    level = (1.0,) * QUALITY_STEPS
    rising = tuple(float(step) for step in range(QUALITY_STEPS))
    with pytest.raises(ValidationError, match="rise"):
        QualityScaleSpec(sample_norms=level, template_norms=rising)
    with pytest.raises(ValidationError, match="at least 21"):
        QualityScaleSpec(sample_norms=rising[:-1], template_norms=rising)
