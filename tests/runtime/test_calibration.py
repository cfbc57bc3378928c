from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.runtime.calibration import Calibration
from tests.calibrations import make_calibration

ROOT = Path(__file__).parents[2]


def values(edges: tuple[float, ...] = (9.0, 11.0)) -> dict[str, Any]:
    return make_calibration("f" * 32, edges=edges).model_dump()


@pytest.mark.parametrize(
    ("edges", "levels"), [((), ("any",)), ((9.0,), ("low", "high")), ((9.0, 11.0), ("low", "medium", "high"))]
)
def test_levels_have_names(edges: tuple[float, ...], levels: tuple[str, ...]) -> None:
    calibration = Calibration.model_validate(values(edges))
    assert calibration.levels == levels
    assert len(calibration.buckets) == len(levels) * (len(levels) + 1) // 2
    assert calibration.point_names == ("fmr_1e-2", "fmr_1e-3", "fmr_1e-4")


def spoil(path: str, value: object) -> dict[str, Any]:
    """The calibration with one value replaced; `path` has dots."""
    spoiled: Any = Calibration.model_validate(values()).model_dump(mode="json")
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    found = spoiled
    for part in way:
        found = found[part]
    found[last] = value
    return dict(spoiled)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 1),
        ("default_operating_point", "fmr_1e-5"),
        ("level_edges", [11.0, 9.0]),
        ("level_edges", [9.0]),
        ("buckets.0.better", 2),
        ("buckets.0.likelihood.scores", [1.0, -1.0]),
        ("buckets.0.likelihood.llrs", [1.0, -1.0]),
        ("buckets.0.likelihood.llrs", [1.0]),
        ("buckets.0.likelihood.llrs", [1.0, float("nan")]),
        ("buckets.0.operating_points.0.threshold", 0.9),
        ("buckets.0.operating_points.0.threshold", float("nan")),
        ("buckets.0.operating_points.0.threshold", 1.1),
        ("buckets.0.operating_points.0.name", "best"),
        ("buckets.0.operating_points.0.fmr", 0.5),
        ("buckets.1.operating_points", []),
        ("surname", "x"),
    ],
)
def test_what_contradicts_itself_is_refused(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(spoil(path, value))


def strictest_pairs(pack: str) -> list[int]:
    """Different pairs of people behind the false matches at `fmr_1e-5`, by bucket, rising."""
    path = ROOT / "models" / "packs" / pack / "calibration.json"
    calibration = Calibration.model_validate_json(path.read_bytes())
    points = [bucket.operating_points[-1] for bucket in calibration.buckets]
    assert {point.name for point in points} == {"fmr_1e-5"}
    return sorted(point.false_match_pairs for point in points)


def test_the_documents_tell_how_many_pairs_of_people_stand_behind_the_strictest_point() -> None:
    default, other = strictest_pairs("opencv-sface"), strictest_pairs("buffalo_s")
    told = (ROOT / "docs" / "calibration.md").read_text()
    assert f"at `fmr_1e-5` {default[0]} to {default[-1]} for the default pack" in told
    decision = " ".join((ROOT / "docs" / "decisions" / "0009-calibration-by-quality.md").read_text().split())
    assert f"it is {default[0]} in the smallest case of `opencv-sface`, {other[0]} of `buffalo_s`" in decision
