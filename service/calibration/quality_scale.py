"""Norms on a scale of 0 to 100: the share of the pack's reference photographs and templates that are poorer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.runtime.calibration import QUALITY_STEPS, QualityScaleSpec

_SHARES = np.linspace(0.0, 100.0, QUALITY_STEPS)
_DIGITS = 6


class QualityScale:
    """Of a pack; one without a measured scale answers None."""

    def __init__(self, spec: QualityScaleSpec | None) -> None:
        self._spec = spec

    def of_sample(self, feature_norm: float) -> float | None:
        """0..100, with lines between every five."""
        return None if self._spec is None else _share(feature_norm, self._spec.sample_norms)

    def of_template(self, template_norm: float) -> float | None:
        """0..100, with lines between every five."""
        return None if self._spec is None else _share(template_norm, self._spec.template_norms)

    def feature_norm_at(self, quality: float) -> float | None:
        """The lowest feature norm of a sample of this quality; 0 for 0 with any pack."""
        if quality == 0.0:
            return 0.0
        if self._spec is None:
            return None
        return float(np.interp(quality, _SHARES, self._spec.sample_norms))


def measure_scale(sample_norms: NDArray[np.floating], template_norms: NDArray[np.floating]) -> QualityScaleSpec:
    """Of the photographs (N,) and templates (M,) that quality is told by."""
    return QualityScaleSpec(sample_norms=_quantiles(sample_norms), template_norms=_quantiles(template_norms))


def _quantiles(norms: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(round(float(norm), _DIGITS) for norm in np.quantile(norms.astype(np.float64), _SHARES / 100.0))


def _share(norm: float, norms: Sequence[float]) -> float:
    return float(np.interp(norm, norms, _SHARES))
