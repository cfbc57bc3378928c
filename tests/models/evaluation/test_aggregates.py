from __future__ import annotations

import numpy as np
import pytest

from models.aggregation.data import SampleSets
from models.evaluation.aggregates import best_norm, pool_by_norm, pool_media

EAST, NORTH = np.eye(2, dtype=np.float32)


@pytest.fixture
def sets() -> SampleSets:
    """A video of three frames that look east, a photograph that looks north, and padding."""
    return SampleSets(
        embeddings=np.stack([[EAST, EAST, EAST, NORTH, np.zeros(2, np.float32)]]),
        norms=np.array([[2.0, 2.0, 2.0, 4.0, 1.0]], np.float32),
        valid=np.array([[True, True, True, True, False]]),
        media=np.array([[7, 7, 7, 9, -1]]),
    )


def tangent(template: np.ndarray) -> float:
    return float(template[0, 1] / template[0, 0])


def test_a_video_counts_once_in_the_media_average(sets: SampleSets) -> None:
    assert tangent(pool_media(sets)) == pytest.approx(4.0 / 2.0)


@pytest.mark.parametrize(("power", "expected"), [(0.0, 1 / 3), (1.0, 4 / 6), (2.0, 16 / 12)])
def test_pooling_weighs_by_the_power_of_the_norm(sets: SampleSets, power: float, expected: float) -> None:
    assert tangent(pool_by_norm(power)(sets)) == pytest.approx(expected)


def test_the_best_norm_is_one_sample(sets: SampleSets) -> None:
    np.testing.assert_array_equal(best_norm(sets), NORTH[None])
    sets.norms[0, 4] = 9.0  # padding is no candidate
    np.testing.assert_array_equal(best_norm(sets), NORTH[None])
