"""What the product says of itself is what was measured of what it ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.evaluation.report.conditions import MAIN, MIXED
from service.packs.definitions import definitions_path, load_definitions

ROOT = Path(__file__).parents[4]
PAGES = (ROOT / "docs" / "evaluation").glob("*.json")
REPORTS = sorted(
    path for path in PAGES if not path.stem.endswith(("-calibration", "-consistency", "-discard", "video"))
)


@pytest.fixture(params=REPORTS, ids=lambda path: path.stem)
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return values


def test_the_default_pack_is_reported() -> None:
    assert "opencv-sface" in [path.stem for path in REPORTS]


def test_a_report_is_of_the_pack_that_ships(report: dict[str, Any]) -> None:
    definition = load_definitions(definitions_path())[report["pack"]]
    assert report["fingerprint"] == definition.manifest.fingerprint, (
        f"measure {report['pack']} anew: {report['command']}"
    )
    assert set(report["main"]) == {condition.title for condition in MAIN}
    recorded = definition.manifest.training
    assert recorded is not None
    measured = {f"test fnmr@{rate['fmr']:.0e}": rate["fnmr"] for rate in report["main"][MIXED.title]["template"]}
    assert recorded.metrics == pytest.approx(measured)


def test_the_readme_quotes_the_report() -> None:
    report = json.loads((ROOT / "docs" / "evaluation" / "opencv-sface.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rates = report["main"][MIXED.title]
    for method in ("template", "norm_weighted", "average"):
        assert f"{rates[method][1]['fnmr']:.3f}" in readme
    fewer = 1.0 - rates["template"][1]["fnmr"] / rates["norm_weighted"][1]["fnmr"]
    assert f"misses {fewer:.0%}".replace("%", " %") in readme
