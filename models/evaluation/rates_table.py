"""Error rates as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.calibration.error_rates import FMRS, ErrorRates, is_reported


def rates_table(rates: Mapping[str, Sequence[ErrorRates]]) -> str:
    """One row a method, one column for each of `FMRS`: FNMR and its 95 % interval over people."""
    lines = ["| | " + " | ".join(f"FNMR at FMR {fmr:.0e}" for fmr in FMRS) + " |", "|---" * (len(FMRS) + 1) + "|"]
    for name, row in rates.items():
        lines.append(f"| {name} | " + " | ".join(_cell(rate) for rate in row) + " |")
    return "\n".join(lines)


def _cell(rate: ErrorRates) -> str:
    if not is_reported(rate):
        return f"not reported ({rate.false_matches} false matches)"
    return f"{rate.fnmr:.4f} ({rate.fnmr_interval[0]:.3f}-{rate.fnmr_interval[1]:.3f})"
