from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.aggregation.data import CLEAN, SampleSets
from models.evaluation.calibration_report import markdown, report_on
from models.evaluation.calibration_sets import Kind, draw_group
from service.calibration.comparisons import Templates
from service.calibration.fitting import fit_calibration
from service.packs.definitions import definitions_path, load_definitions
from tests.models.sets import synthetic_people

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs" / "evaluation").glob("*-calibration.json"))


def norm_weighted(sets: SampleSets) -> Templates:
    pooled = (sets.embeddings * (sets.norms * sets.valid)[:, :, None]).sum(axis=1) / sets.valid.sum(axis=1)[:, None]
    norms = np.linalg.norm(pooled, axis=1)
    return Templates((pooled / norms[:, None]).astype(np.float32), norms.astype(np.float32))


def test_every_kind_is_drawn_from_two_halves() -> None:
    rng = np.random.default_rng(0)
    several, single = synthetic_people(rng, 6, 4, 3), synthetic_people(rng, 4, 1, 3)
    seen: list[SampleSets] = []

    def remember(sets: SampleSets) -> Templates:
        seen.append(sets)
        return norm_weighted(sets)

    group = draw_group([several, single], remember, rng)
    assert group.mated.tolist() == [True] * 6 + [False] * 4
    assert len(group.kinds) == len(Kind)
    clean_norms = several.norms[several.version == CLEAN]
    assert group.kinds[0].reference.norms[:6] == pytest.approx(clean_norms[:6]), "one clean photograph"
    for reference, probe in zip(seen[0::4], seen[1::4], strict=True):
        for first, second in zip(reference.media[:6], probe.media[:6], strict=True):
            assert len(reference.media) < 6 or not set(first[first >= 0]) & set(second[second >= 0])


def test_the_report_compares_one_threshold_with_those_of_the_levels() -> None:
    rng = np.random.default_rng(0)
    cohorts = [[synthetic_people(rng, 160, 4, 4)] for _ in range(2)]
    groups = [
        (draw_group(caches, norm_weighted, rng), [draw_group(caches, norm_weighted, rng) for _ in range(3)])
        for caches in cohorts
    ]
    calibration = fit_calibration(
        *groups[0], fingerprint="f" * 32, data="x", command="y", resamples=10, quality_scale=None, consistency=None
    )
    assert len(calibration.levels) > 1
    report = report_on(calibration, pack="p", command="c", people=160, measured=groups[0], unseen=groups[1])
    point = report.points[0]
    spread = {
        when: max(abs(getattr(rates, when) / point.fmr - 1.0) for rates in point.buckets)
        for when in ("before", "after")
    }
    assert spread["after"] < spread["before"]
    assert report.cost_best <= report.cost_after + 1e-9
    page = markdown(report)
    assert page.count("| low / low |") == 1
    assert all(f"| {first} / {second} |" in page for first, second in [(Kind.SINGLE, Kind.SINGLE)])
    assert json.loads(json.dumps(report.values()))["points"][0]["name"] == "fmr_1e-2"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_published_page_is_of_the_calibration_that_ships(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    definition = load_definitions(definitions_path())[values["pack"]]
    assert values["fingerprint"] == definition.manifest.fingerprint, f"measure anew: {values['command']}"
    calibration = json.loads((definition.directory / "calibration.json").read_text())
    shipped = [point["name"] for point in calibration["buckets"][0]["operating_points"]]
    assert [point["name"] for point in values["points"]] == shipped


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_operating_points_hold_on_people_they_were_not_measured_on(path: Path) -> None:
    """As the documentation says: of every two quality levels, and with what is left for single kinds of templates."""
    values = json.loads(path.read_text(encoding="utf-8"))
    for point, of_levels, of_kinds in zip(
        values["points"], (1.05, 1.10, 1.20, 1.25), (1.5, 1.7, 2.1, 2.7), strict=True
    ):
        for parts, bound in ((point["buckets"], of_levels), (point["kinds"], of_kinds)):
            worst = max(parts, key=lambda part: part["after"])
            assert worst["after"] <= bound * point["fmr"], f"{point['name']}: {worst['part']}"
            assert worst["after"] < max(part["before"] for part in parts)


def test_both_shipped_calibrations_are_published() -> None:
    assert [path.stem for path in PAGES] == ["buffalo_s-calibration", "opencv-sface-calibration"]
