"""1:1 comparison of two descriptors. Nothing but a finite score at or above the threshold is ever a match."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from service.decisions import CalibratedScore, Comparison
from service.errors import InferenceFailedError, InvalidVectorError

_MIN_LENGTH = 1e-6


def compare_vectors(reference: NDArray[np.float32], probe: NDArray[np.float32]) -> float:
    """Comparison score of two (D,) vectors of any length: the cosine of their angle, -1..1.

    Raises `InvalidVectorError` for vectors of other shapes, not finite, or of no length: such a descriptor has no
    score, so that it can never be taken for one.
    """
    if reference.ndim != 1 or reference.shape != probe.shape:
        raise InvalidVectorError("Both sides of a comparison must be vectors of the same width.")
    return float(compare_rows(reference[None], probe[None])[0])


def compare_rows(references: NDArray[np.float32], probes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Comparison scores (Q,) of two (Q, D) arrays, row by row; each is the same bits as alone.

    Raises `InvalidVectorError` where a row has no score.
    """
    if references.ndim != 2 or references.shape != probes.shape:
        raise InvalidVectorError("Both sides of a comparison must be vectors of the same width.")
    scores: NDArray[np.float64] = np.clip((_unit(references) * _unit(probes)).sum(axis=1), -1.0, 1.0)
    return scores


def decide(calibrated: CalibratedScore) -> Comparison:
    """Match at or above the operating point's threshold. Raises `InferenceFailedError` for a score, threshold or
    likelihood ratio that is not finite: that is a failure, not a decision."""
    threshold = calibrated.operating_point.threshold
    if not all(map(math.isfinite, (calibrated.score, threshold, calibrated.llr))):
        raise InferenceFailedError("The comparison has no finite score.")
    return Comparison(calibrated, is_match=calibrated.score >= threshold)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    values = vectors.astype(np.float64)
    lengths = np.sqrt((values * values).sum(axis=1))
    if not (np.isfinite(lengths) & (lengths >= _MIN_LENGTH)).all():
        raise InvalidVectorError("A vector of the comparison is not finite or has no length.")
    unit: NDArray[np.float64] = values / lengths[:, None]
    return unit
