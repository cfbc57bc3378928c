"""Draws a dashboard's panels as they looked during a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from benchmarks.prometheus import Line
from benchmarks.varied_load import Event

matplotlib.use("Agg")

Panel = Mapping[str, Any]

_COLUMNS = 4
_WIDTH, _PANEL, _STAT, _ROW_TITLE = 19.0, 3.5, 1.5, 0.55
"""Inches."""
_DPI = 80
_LEGEND = 0.85
"""Of a panel's height, inches."""
_MOST_IN_LEGEND = 8
_INK, _FAINT, _GRID = "#1f2328", "#8b949e", "#e4e7eb"
_COLOURS = (
    "#2f6fde",
    "#e0762b",
    "#2b9a66",
    "#b04ac8",
    "#d1373f",
    "#0f9aa8",
    "#8a6d1b",
    "#7a7f87",
    "#d8589f",
    "#5b5bd6",
)
_SCALES = {"bytes": 2.0**20}
_SEVERITIES = {"critical": "#d1373f", "warning": "#e0a02b"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel with what its queries answered."""

    panel: Panel
    lines: Sequence[tuple[str, Line]]
    """By legend."""


@dataclass(frozen=True, slots=True)
class Run:
    """Times are Unix seconds."""

    began: float
    ended: float
    events: Sequence[Event]
    alerts: Sequence[Line]
    rows: Sequence[tuple[str, Sequence[Drawn]]]


def draw(run: Run, picture: Path) -> None:
    heights: list[float] = []
    plan: list[tuple[str, Sequence[Drawn]]] = []
    """A title alone, or panels that stand beside each other."""
    for title, panels in run.rows:
        heights.append(_ROW_TITLE)
        plan.append((title, ()))
        across = len(panels) if panels[0].panel["type"] == "stat" else _COLUMNS
        for first in range(0, len(panels), across):
            plan.append(("", panels[first : first + across]))
            heights.append(_STAT if panels[0].panel["type"] == "stat" else _PANEL)
    names = sorted({line.labels["alertname"] for line in run.alerts})
    alert_height = 0.8 + 0.26 * max(1, len(names))
    height = sum(heights) + alert_height + _ROW_TITLE
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    top = height
    for (title, panels), row_height in zip(plan, heights, strict=True):
        top -= row_height
        if title:
            _write_title(figure, title, (top + 0.1) / height)
        across = len(panels) if panels and panels[0].panel["type"] == "stat" else _COLUMNS
        for column, drawn in enumerate(panels):
            draw_one = _draw_stat if drawn.panel["type"] == "stat" else _draw_panel
            below = 0.3 if drawn.panel["type"] == "stat" else 0.3 + _LEGEND
            box = (
                column / across + 0.038,
                (top + below) / height,
                1 / across - 0.046,
                (row_height - below - 0.4) / height,
            )
            draw_one(figure.add_axes(box), drawn, run)
    top -= _ROW_TITLE
    _write_title(figure, "Alerts", (top + 0.1) / height)
    _draw_alerts(figure.add_axes((0.125, 0.45 / height, 0.865, (alert_height - 0.55) / height)), run, names)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Software": None})
    with Image.open(picture) as drawn_picture:
        drawn_picture.convert("RGB").quantize(64).save(picture, optimize=True)


def _write_title(figure: Figure, title: str, at: float) -> None:
    figure.text(0.006, at, title, fontsize=15, fontweight="bold", color=_INK)


def _draw_stat(axes: Axes, drawn: Drawn, run: Run) -> None:
    """The last number of each line; in the case of one line, over its course."""
    axes.set_axis_off()
    axes.set_title(drawn.panel["title"], fontsize=11, color=_FAINT, loc="left", pad=4)
    unit = drawn.panel["fieldConfig"]["defaults"]["unit"]
    shown = [(name, _in_words(line.values[-1], unit)) for name, line in drawn.lines]
    text = "   ".join(f"{name} {value}" for name, value in shown) if len(shown) > 1 else shown[0][1] if shown else "-"
    if len(shown) == 1:
        line = drawn.lines[0][1]
        axes.fill_between(_minutes(line, run), line.values, color=_COLOURS[0], alpha=0.15, linewidth=0)
        axes.set_xlim(0, (run.ended - run.began) / 60)
        axes.set_ylim(bottom=0)
    axes.text(0.0, 0.42, text, transform=axes.transAxes, fontsize=15 if len(shown) > 1 else 24, color=_INK, va="center")


def _draw_panel(axes: Axes, drawn: Drawn, run: Run) -> None:
    axes.set_title(drawn.panel["title"], fontsize=12, color=_INK, loc="left", pad=6)
    unit = drawn.panel["fieldConfig"]["defaults"]["unit"]
    # Where there are many, the largest are named.
    ranked = sorted(
        drawn.lines, key=lambda entry: -max((value for value in entry[1].values if value == value), default=0)
    )
    named = {id(line) for _, line in ranked[:_MOST_IN_LEGEND]}
    for number, (name, line) in enumerate(drawn.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        label = name if id(line) in named else None
        values = [value / _SCALES.get(unit, 1.0) for value in line.values]
        axes.plot(_minutes(line, run), values, color=colour, linewidth=1.5, label=label)
    for event in run.events:
        axes.axvline((event.at - run.began) / 60, color=_FAINT, linewidth=0.7, linestyle=":")
    _dress(axes, run)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == "none"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_words(value, unit)))
    if drawn.panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)
        highest = axes.dataLim.y1 if drawn.lines else 0.0
        axes.set_ylim(top=1.12 * highest if highest > 0 else 1.0)
    if not drawn.lines:
        axes.text(0.5, 0.5, "nothing in this run", transform=axes.transAxes, ha="center", color=_FAINT)
    elif named:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.1),
            fontsize=8.5,
            frameon=False,
            ncols=1 if len(named) <= 3 else 2,
            handlelength=1.0,
            labelspacing=0.25,
            columnspacing=1.0,
            labelcolor=_INK,
        )


def _draw_alerts(axes: Axes, run: Run, names: Sequence[str]) -> None:
    for line in run.alerts:
        at = names.index(line.labels["alertname"])
        is_firing = line.labels["alertstate"] == "firing"
        colour = _SEVERITIES[line.labels["severity"]]
        for minute in _minutes(line, run):
            axes.barh(at, 1 / 60, left=minute, height=0.7, color=colour, alpha=1.0 if is_firing else 0.3, linewidth=0)
    for event in run.events:
        minute = (event.at - run.began) / 60
        axes.axvline(minute, color=_FAINT, linewidth=0.8, linestyle=":")
        axes.text(minute, len(names) - 0.3, f" {event.what}", fontsize=9, color=_INK, va="bottom")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) + 0.5)
    axes.invert_yaxis()
    axes.set_ylim(len(names) + 0.5, -0.6)
    _dress(axes, run)
    axes.set_xlabel(
        "minutes; pale: pending, full: firing; upright: what was done to the service", fontsize=9, color=_FAINT
    )


def _dress(axes: Axes, run: Run) -> None:
    axes.set_xlim(0, (run.ended - run.began) / 60)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=_FAINT, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)


def _minutes(line: Line, run: Run) -> list[float]:
    return [(at - run.began) / 60 for at in line.times]


def _in_words(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    match unit:
        case "s":
            return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "bytes":
            return f"{value:.3g} MiB"
        case "reqps" | "ops":
            return f"{value:.3g}/s"
        case _:
            return f"{value:.3g}"
