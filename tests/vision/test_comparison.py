"""Nothing but a finite score at or above the threshold is a match."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.decisions import CalibratedScore, OperatingPoint
from service.errors import InferenceFailedError, InvalidVectorError
from service.vision.comparison import compare_rows, compare_vectors, decide

POINT = OperatingPoint("fmr_1e-3", 1e-3, 0.4, (0.38, 0.42), 10, 10_000)


def calibrated(score: float, point: OperatingPoint = POINT) -> CalibratedScore:
    return CalibratedScore(score, 3.0, point, "high", "low")


def unit(*values: float) -> np.ndarray:
    return np.array(values, np.float32) / np.float32(np.linalg.norm(values))


@pytest.mark.parametrize(("score", "is_match"), [(0.4, True), (0.39999997, False), (1.0, True), (-1.0, False)])
def test_the_threshold_itself_is_a_match(score: float, is_match: bool) -> None:
    comparison = decide(calibrated(score))
    assert comparison.is_match is is_match
    assert comparison.calibrated == calibrated(score)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_no_decision(score: float) -> None:
    with pytest.raises(InferenceFailedError):
        decide(calibrated(score))


@pytest.mark.parametrize("threshold", [float("nan"), float("-inf")])
def test_neither_is_a_threshold(threshold: float) -> None:
    with pytest.raises(InferenceFailedError):
        decide(calibrated(0.9, dataclasses.replace(POINT, threshold=threshold)))


def test_nor_a_likelihood_ratio() -> None:
    with pytest.raises(InferenceFailedError):
        decide(dataclasses.replace(calibrated(0.9), llr=float("nan")))


def test_the_score_is_the_cosine_whatever_the_lengths() -> None:
    assert compare_vectors(unit(1, 0), unit(1, 1)) == pytest.approx(np.sqrt(0.5), abs=1e-7)
    assert compare_vectors(unit(1, 0) * 7, unit(-1, 0) * np.float32(0.1)) == pytest.approx(-1)
    assert compare_vectors(unit(3, 4), unit(3, 4)) <= 1.0


@given(hnp.arrays(np.float32, 16, elements=st.floats(-1, 1, width=32)), hnp.arrays(np.float32, 16))
@settings(max_examples=1_000, deadline=None)
def test_any_two_vectors_have_a_finite_score_or_none(left: np.ndarray, right: np.ndarray) -> None:
    try:
        score = compare_vectors(left, right)
    except InvalidVectorError:
        return
    assert -1 <= score <= 1
    assert score == compare_vectors(right, left)


@pytest.mark.parametrize("width", [8, 128, 512])
def test_a_row_has_the_same_score_as_alone(width: int) -> None:
    rng = np.random.default_rng(width)
    references, probes = rng.normal(size=(2, 300, width)).astype(np.float32)
    alone = [compare_vectors(reference, probe) for reference, probe in zip(references, probes, strict=True)]
    assert compare_rows(references, probes).tolist() == alone


def bad_vectors(count: int) -> list[np.ndarray]:
    """Each one spoiled in its own way: nothing at all, no length, not finite, another shape."""
    generator = np.random.default_rng(0)
    vectors = []
    for index in range(count):
        vector = generator.normal(size=128).astype(np.float32)
        position = generator.integers(128)
        match index % 7:
            case 0:
                vector[position] = np.nan
            case 1:
                vector[position] = np.inf
            case 2:
                vector[position] = -np.inf
            case 3:
                vector[:] = 0
            case 4:
                vector *= np.float32(1e-30)
            case 5:
                vector = vector[:position]
            case 6:
                vector = vector.reshape(2, 64)
        vectors.append(vector)
    return vectors


def test_a_thousand_bad_vectors_never_match() -> None:
    good = np.random.default_rng(1).normal(size=128).astype(np.float32)
    for bad in bad_vectors(1_000):
        for reference, probe in ((good, bad), (bad, good)):
            with pytest.raises(InvalidVectorError):
                compare_vectors(reference, probe)
