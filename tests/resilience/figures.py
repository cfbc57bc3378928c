"""Figures for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def quantiles_ms(seconds: Sequence[float]) -> str:
    """Of durations."""
    if not seconds:
        return "none"
    shown = (f"p{round(100 * share)} {1000 * quantile(seconds, share):.1f}" for share in (0.5, 0.99, 1.0))
    return ", ".join(shown)
