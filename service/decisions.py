"""A comparison score, what it means, and the decision: frozen, with ranges stated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A decision threshold, named by the false match rate it was measured at, for templates of two quality levels."""

    name: str
    """For example `fmr_1e-4`."""
    fmr: float
    threshold: float
    """Comparison scores at or above it are matches."""
    threshold_interval: tuple[float, float]
    """95 % interval of the threshold, by bootstrap over identities."""
    false_matches: int
    """Non-mated comparisons observed at or above the threshold."""
    comparisons: int
    """Non-mated comparisons measured."""


@dataclass(frozen=True, slots=True)
class CalibratedScore:
    """A comparison score, and what it means at the quality of its two templates."""

    score: float
    """Cosine, -1..1; higher is more alike."""
    llr: float
    """Natural logarithm of how much likelier the score is for two templates of one person than of two."""
    operating_point: OperatingPoint
    """With the threshold of this quality."""
    reference_level: str
    """Quality level of the template, as the calibration names them; `unknown` for a plain vector."""
    probe_level: str
    band: str | None = None
    """Name of the strictest operating point at which the score matches; None: at none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of one 1:1 comparison."""

    calibrated: CalibratedScore
    is_match: bool
