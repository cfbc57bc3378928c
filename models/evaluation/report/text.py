"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.evaluation.cost import AggregatorCost
from models.evaluation.cost import describe as describe_cost
from models.evaluation.rates_table import rates_table
from models.evaluation.report.conditions import MAIN, MIXED, Condition
from models.evaluation.report.measuring import Rates
from service.calibration.error_rates import FMRS, ErrorRates, is_reported

Sweep = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class AblationRow:
    group: str
    name: str
    mixed: list[ErrorRates]
    clean: list[ErrorRates]


@dataclass(frozen=True, slots=True)
class PackReport:
    """All that was measured of one pack."""

    pack: str
    fingerprint: str
    command: str
    people: int
    photographs: int
    photographs_without_face: int
    best_power: float
    """Of `best_pooling`, tuned on the validation people."""
    trained: str
    """How the methods that are trained were trained."""
    main: dict[str, Rates]
    """By the title of the condition."""
    sizes: dict[str, list[float | None]]
    shares: dict[str, list[float | None]]
    kinds: dict[str, list[float | None]]
    ablation: list[AblationRow]
    rank_correlation: float
    cost: AggregatorCost


def goals(report: PackReport) -> list[str]:
    """The template against its rivals, in sentences: share of their false non-matches that it does not have."""
    lines = []
    for rival, wanted in (("average", 0.75), ("norm_weighted", 0.45), ("best_pooling", 0.15), ("faithful", 0.0)):
        rates = report.main[MIXED.title]
        if rival not in rates:
            continue
        fewer = [
            1.0 - ours.fnmr / theirs.fnmr if theirs.fnmr else 0.0
            for ours, theirs in zip(rates["template"], rates[rival], strict=True)
        ]
        met = "met" if min(fewer[1:]) >= wanted else "MISSED"
        shares = ", ".join(f"{share:+.1%} at {fmr:.0e}" for share, fmr in zip(fewer, FMRS, strict=True))
        lines.append(
            f"- fewer false non-matches than `{rival}` on mixed sets: {shares} "
            f"(goal {wanted:.0%} at 1e-3 and 1e-4: {met})"
        )
    return lines


def markdown(
    report: PackReport, sizes: Sequence[Condition], shares: Sequence[Condition], kinds: Sequence[Condition]
) -> str:
    """One page."""
    first = report.main[MIXED.title]["template"][0]
    without_face = report.photographs_without_face
    parts = [
        f"# Evaluation of {report.pack}",
        f"Made by `{report.command}`; fingerprint `{report.fingerprint}`. "
        f"Figures in full: [{report.pack}.json]({report.pack}.json).",
        f"{report.people} people of the LFW split `test`, whom nothing was learned from or tuned on, with "
        f"{report.photographs:,} photographs; in {without_face} of them no usable face was found (failure to acquire "
        f"{without_face / report.photographs:.2%}; nobody failed to enrol). Disjoint halves of each person's "
        f"photographs become two sets, drawn {MIXED.protocol.draws} times: {first.mated_comparisons:,} mated and "
        f"{first.comparisons:,} non-mated comparisons in every line. Intervals: 95 %, by bootstrap over people. A rate "
        "is given only where 30 false matches or more stand behind its FMR.",
        "`template` is the pack's own aggregator. `best_pooling` is the mean weighted by "
        f"norm^{report.best_power:g}, the best single power on the validation people. {report.trained}",
        "## Against what was wanted",
        "\n".join(goals(report)),
        f"![DET]({report.pack}-det.svg)",
    ]
    for condition in MAIN:
        rates = report.main[condition.title]
        parts += [f"## {condition.title[0].upper()}{condition.title[1:]}", rates_table(rates)]
    for title, conditions, rows in (
        ("By set size", sizes, report.sizes),
        ("By share of degraded samples", shares, report.shares),
        ("By kind of degradation, every sample degraded in that one way", kinds, report.kinds),
    ):
        if rows:
            parts += [f"## {title}", "FNMR at FMR 1e-3.", sweep_table(conditions, rows)]
    if report.ablation:
        parts += ["## Ablation", _ABLATION, ablation_table(report.ablation)]
    parts += [
        "## Feature norm and quality",
        f"![norm against quality]({report.pack}-quality.svg)",
        "Rank correlation (Spearman) between a sample's feature norm and its cosine to the person's other clean "
        f"images: {report.rank_correlation:.3f}.",
        "## Cost",
        describe_cost(report.cost),
    ]
    return "\n\n".join(parts) + "\n"


_ABLATION = (
    "The shipped configuration with one thing changed at a time, all trained alike and for fewer steps than what "
    "ships; FNMR at FMR 1e-2 / 1e-3 / 1e-4."
)


def sweep_table(conditions: Sequence[Condition], rows: Sweep) -> str:
    """One row a method, one column a condition."""
    lines = ["| | " + " | ".join(condition.title for condition in conditions) + " |"]
    lines.append("|---" * (len(conditions) + 1) + "|")
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join("-" if rate is None else f"{rate:.4f}" for rate in row) + " |")
    return "\n".join(lines)


def ablation_table(rows: Sequence[AblationRow]) -> str:
    """One row a variant."""
    lines = ["| | | mixed sets | clean sets |", "|---|---|---|---|"]
    lines += [f"| {row.group} | {row.name} | {_short(row.mixed)} | {_short(row.clean)} |" for row in rows]
    return "\n".join(lines)


def _short(rates: Sequence[ErrorRates]) -> str:
    return " / ".join(f"{rate.fnmr:.4f}" if is_reported(rate) else "-" for rate in rates)
