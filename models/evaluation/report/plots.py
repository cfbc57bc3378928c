"""The report's figures: DET curves and feature norm against quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import spearmanr

from models.evaluation.report.measuring import DetCurve, NormQuality

_TICKS = np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
_BINS = 20


def plot_det(curves: Mapping[str, DetCurve], title: str, path: Path) -> None:
    """FNMR over FMR on normal-deviate axes (ISO/IEC 19795-1), as SVG."""
    with _figure(path, (7.0, 5.5)) as figure:
        axes = figure.subplots()
        for number, (name, curve) in enumerate(curves.items()):
            fnmr = np.clip(curve.fnmr, 1e-4, 0.999)
            axes.plot(
                normal.ppf(curve.fmr),
                normal.ppf(fnmr),
                label=name,
                color=f"C{number % 10}",
                linestyle="-" if number < 10 else "--",
                linewidth=2.5 if number == 0 else 1.2,
            )
        _deviates(axes)
        axes.set_title(title)
        axes.legend(fontsize=8)


def plot_norm_quality(quality: NormQuality, title: str, path: Path) -> None:
    """Two panels, as SVG: the norms of clean and degraded samples, and how well samples of a norm show their person."""
    with _figure(path, (10.0, 4.2)) as figure:
        left, right = figure.subplots(1, 2)
        edges = np.linspace(0.0, float(np.quantile(quality.norms, 0.999)), 60)
        for name, chosen in (("clean", ~quality.degraded), ("degraded", quality.degraded)):
            left.hist(quality.norms[chosen], edges, density=True, alpha=0.6, label=name)
        left.set(xlabel="feature norm", ylabel="density")
        left.legend()
        centres, low, middle, high = _bands(quality)
        right.fill_between(centres, low, high, alpha=0.25, label="10 % to 90 %")
        right.plot(centres, middle, marker="o", label="median")
        right.set(xlabel="feature norm", ylabel="cosine to the person's other clean images")
        right.set_title(f"rank correlation {rank_correlation(quality):.2f}", fontsize=10)
        right.legend()
        figure.suptitle(title)


def plot_discard(shares: NDArray[np.float64], curves: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """FNMR over the share of mated comparisons left out, as SVG."""
    with _figure(path, (7.0, 4.5)) as figure:
        axes = figure.subplots()
        for number, (name, fnmr) in enumerate(curves.items()):
            axes.plot(shares * 100, fnmr, marker="o", markersize=3, label=name, color=f"C{number}")
            axes.axhline(fnmr[0], linestyle=":", linewidth=1, color=f"C{number}")
        axes.set(xlabel="mated comparisons left out, poorest first, %", ylabel="false non-match rate of the rest")
        axes.set_ylim(bottom=0.0)
        axes.grid(visible=True, alpha=0.3)
        axes.set_title(title)
        axes.legend()


def rank_correlation(quality: NormQuality) -> float:
    """Spearman's, between feature norm and likeness."""
    return float(spearmanr(quality.norms, quality.likeness).statistic)


def _bands(quality: NormQuality) -> tuple[list[float], list[float], list[float], list[float]]:
    """Bins of equal counts: their median norm, and the likeness at 10, 50 and 90 %."""
    parts = np.array_split(np.argsort(quality.norms, kind="stable"), min(_BINS, len(quality.norms)))
    centres = [float(np.median(quality.norms[part])) for part in parts]
    low, middle, high = np.array([np.percentile(quality.likeness[part], (10, 50, 90)) for part in parts]).T
    return centres, low.tolist(), middle.tolist(), high.tolist()


def _deviates(axes: Axes) -> None:
    axes.set(xlabel="false match rate", ylabel="false non-match rate")
    places = normal.ppf(_TICKS)
    labels = [f"{tick:g}" for tick in _TICKS]
    axes.set_xticks(places, labels)
    axes.set_yticks(places, labels)
    axes.set_xlim(normal.ppf(1e-5), normal.ppf(0.3))
    axes.set_ylim(normal.ppf(1e-3), normal.ppf(0.8))
    axes.grid(visible=True, alpha=0.3)


@contextmanager
def _figure(path: Path, inches: tuple[float, float]) -> Iterator[Figure]:
    # No date and no random identifiers: the same figures give the same file.
    with mpl.rc_context({"svg.hashsalt": "coreface", "svg.fonttype": "none"}):
        figure = Figure(figsize=inches, layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
