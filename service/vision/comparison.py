"""1:1 comparison of two descriptors. Nothing but a finite score at or above the threshold is ever a match."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError, InvalidVectorError
from service.types import CalibratedScore, Comparison

_MIN_LENGTH = 1e-6


def compare_vectors(reference: NDArray[np.float32], probe: NDArray[np.float32]) -> float:
    """Comparison score of two (D,) vectors of any length: the cosine of their angle, -1..1.

    Raises `InvalidVectorError` for vectors of other shapes, not finite, or of no length: such a descriptor has no
    score, so that it can never be taken for one.
    """
    if reference.ndim != 1 or reference.shape != probe.shape:
        raise InvalidVectorError("Both sides of a comparison must be vectors of the same width.")
    score = float(_unit(reference) @ _unit(probe))
    return min(1.0, max(-1.0, score))


def decide(calibrated: CalibratedScore) -> Comparison:
    """Match at or above the operating point's threshold. Raises `InferenceFailedError` for a score, threshold or
    likelihood ratio that is not finite: that is a failure, not a decision."""
    threshold = calibrated.operating_point.threshold
    if not all(map(math.isfinite, (calibrated.score, threshold, calibrated.llr))):
        raise InferenceFailedError("The comparison has no finite score.")
    return Comparison(calibrated, is_match=calibrated.score >= threshold)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    values = vector.astype(np.float64)
    length = float(np.linalg.norm(values))
    if not math.isfinite(length) or length < _MIN_LENGTH:
        raise InvalidVectorError("A vector of the comparison is not finite or has no length.")
    return values / length
