"""What thresholds and likelihood ratios come to on people that decided nothing: one threshold for all against one for
each bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.calibration_sets import Kind
from service.calibration.comparisons import Bucket, TemplateGroup, buckets_of, compare_groups, level_of
from service.calibration.error_rates import ComparisonScores, false_match_count, false_non_match_rate, threshold_at
from service.calibration.likelihood import cost_of_llrs, fit_likelihood
from service.runtime.calibration import BucketSpec, Calibration

Groups = tuple[TemplateGroup, Sequence[TemplateGroup]]


@dataclass(frozen=True, slots=True)
class ObservedRates:
    """At one operating point, of one part of the comparisons."""

    part: str
    comparisons: int
    before: float
    """FMR at one threshold for all."""
    after: float
    """FMR at the thresholds of the buckets."""


@dataclass(frozen=True, slots=True)
class PointReport:
    name: str
    fmr: float
    one_threshold: float
    """Measured on the calibration's people, all buckets together."""
    buckets: list[ObservedRates]
    kinds: list[ObservedRates]
    fnmr_before: float
    fnmr_after: float


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    pack: str
    fingerprint: str
    command: str
    people: int
    mated: int
    non_mated: int
    points: list[PointReport]
    cost_before: float
    """Cllr of one curve for all, bits."""
    cost_after: float
    """Cllr of the curves of the buckets, bits."""
    cost_best: float
    """Cllr of curves fitted to these very scores: what no monotone curve could better."""

    def values(self) -> dict[str, object]:
        return asdict(self)


def report_on(
    calibration: Calibration, *, pack: str, command: str, people: int, measured: Groups, unseen: Groups
) -> CalibrationReport:
    """`measured`: the groups that the calibration was fitted on; `unseen`: the test people's."""
    [pooled] = compare_groups(*measured, ()).values()
    observed = compare_groups(*unseen, calibration.level_edges)
    specs = {(spec.better, spec.worse): spec for spec in calibration.buckets}
    one_curve = fit_likelihood(pooled.mated, pooled.non_mated)
    everything = list(observed.values())
    llrs = [
        (_llrs(specs[bucket], part.mated), _llrs(specs[bucket], part.non_mated)) for bucket, part in observed.items()
    ]
    best = [fit_likelihood(part.mated, part.non_mated) for part in everything]
    return CalibrationReport(
        pack=pack,
        fingerprint=calibration.fingerprint,
        command=command,
        people=people,
        mated=sum(len(part.mated) for part in everything),
        non_mated=sum(len(part.non_mated) for part in everything),
        points=[
            _point(calibration, number, threshold_at(pooled.non_mated, point.fmr), observed, unseen[0])
            for number, point in enumerate(calibration.buckets[0].operating_points)
        ],
        cost_before=_cost([(one_curve.at(part.mated), one_curve.at(part.non_mated)) for part in everything]),
        cost_after=_cost(llrs),
        cost_best=_cost(
            [(curve.at(part.mated), curve.at(part.non_mated)) for curve, part in zip(best, everything, strict=True)]
        ),
    )


def _point(
    calibration: Calibration,
    number: int,
    one: float,
    observed: Mapping[Bucket, ComparisonScores],
    everyone: TemplateGroup,
) -> PointReport:
    point = calibration.buckets[0].operating_points[number]
    thresholds = {(spec.better, spec.worse): spec.operating_points[number].threshold for spec in calibration.buckets}
    parts = list(observed.items())
    mated = np.concatenate([part.mated for _, part in parts])
    own = np.concatenate([np.full(len(part.mated), thresholds[bucket]) for bucket, part in parts])
    return PointReport(
        name=point.name,
        fmr=point.fmr,
        one_threshold=one,
        buckets=[
            ObservedRates(
                part=" / ".join(calibration.levels[level] for level in bucket),
                comparisons=len(part.non_mated),
                before=false_match_count(part.non_mated, one) / len(part.non_mated),
                after=false_match_count(part.non_mated, thresholds[bucket]) / len(part.non_mated),
            )
            for bucket, part in parts
        ],
        kinds=_by_kind(everyone, calibration.level_edges, thresholds, one),
        fnmr_before=false_non_match_rate(mated, one),
        fnmr_after=float(np.mean(mated < own)),
    )


def _by_kind(
    group: TemplateGroup, edges: Sequence[float], thresholds: Mapping[Bucket, float], one: float
) -> list[ObservedRates]:
    """Every two kinds, whichever side is which."""
    table = np.zeros((len(edges) + 1, len(edges) + 1))
    for better, worse in buckets_of(len(edges) + 1):
        table[better, worse] = table[worse, better] = thresholds[better, worse]
    pairs = np.triu_indices(len(group.mated), 1)
    rates = []
    for number, first in enumerate(group.kinds):
        for other in range(number, len(group.kinds)):
            second = group.kinds[other]
            scores = (first.reference.vectors @ second.probe.vectors.T)[pairs]
            levels = (level_of(first.reference.norms, edges), level_of(second.probe.norms, edges))
            own = table[levels[0][pairs[0]], levels[1][pairs[1]]]
            rates.append(
                ObservedRates(
                    part=f"{list(Kind)[number]} / {list(Kind)[other]}",
                    comparisons=len(scores),
                    before=float(np.mean(scores >= one)),
                    after=float(np.mean(scores >= own)),
                )
            )
    return rates


def _llrs(spec: BucketSpec, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    llrs: NDArray[np.float64] = np.interp(scores, spec.likelihood.scores, spec.likelihood.llrs)
    return llrs


def _cost(parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    return cost_of_llrs(np.concatenate([mated for mated, _ in parts]), np.concatenate([other for _, other in parts]))


def markdown(report: CalibrationReport) -> str:
    """One page."""
    lines = [
        f"# Calibration of {report.pack} on people it was not measured on",
        "",
        f"Made by `{report.command}`; fingerprint `{report.fingerprint}`. {report.people:,} people of the LFW splits "
        f"`test` and `single_test`: {report.non_mated:,} non-mated and {report.mated:,} mated comparisons of templates "
        f"of {'; '.join(Kind)}.",
        "",
        "An operating point is named by its FMR. **Before**: one threshold for every comparison. **After**: the "
        "threshold of the two templates' quality levels, which is what decides. Figures are the observed FMR divided "
        "by the one promised: 1 is right, 2 is twice as many false matches as the name says.",
        "",
        *_ratio_table("Quality levels (better / worse)", report, [point.buckets for point in report.points]),
        "",
        *_ratio_table("What is compared", report, [point.kinds for point in report.points]),
        "",
        "FNMR over all mated comparisons:",
        "",
        "| | " + " | ".join(point.name for point in report.points) + " |",
        "|---" * (len(report.points) + 1) + "|",
        "| one threshold | " + " | ".join(f"{point.fnmr_before:.4f}" for point in report.points) + " |",
        "| thresholds of the levels | " + " | ".join(f"{point.fnmr_after:.4f}" for point in report.points) + " |",
        "",
        f"Log-likelihood ratios: cost (Cllr, 0 perfect, 1 worthless) {report.cost_before:.3f} bits with one curve for "
        f"all, {report.cost_after:.3f} with the curves of the levels; curves fitted to these very scores would reach "
        f"{report.cost_best:.3f}.",
    ]
    return "\n".join(lines) + "\n"


def _ratio_table(title: str, report: CalibrationReport, columns: Sequence[Sequence[ObservedRates]]) -> list[str]:
    names = [f"{point.name} before | after" for point in report.points]
    lines = [f"| {title} | comparisons | " + " | ".join(names) + " |", "|---" * (2 + 2 * len(names)) + "|"]
    for row in zip(*columns, strict=True):
        cells = [
            f"{rates.before / point.fmr:.2f} | {rates.after / point.fmr:.2f}"
            for rates, point in zip(row, report.points, strict=True)
        ]
        lines.append(f"| {row[0].part} | {row[0].comparisons:,} | " + " | ".join(cells) + " |")
    return lines
