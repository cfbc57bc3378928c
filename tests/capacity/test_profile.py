from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.capacity.fitting import fit_cost
from service.capacity.profile import Cost, Profile, read_profile
from service.errors import SetupError
from tests.capacity.profiles import profile

MEASURED = profile(
    {name: Cost(0.001, 0.002) for name in ("decode", "align", "detect", "embed", "aggregate")},
    cores=1,
    worker=Cost(0.001, 0.0),
    api=Cost(0.005, 0.0),
    queue=Cost(0.0002, 1e-9),
    sample_bytes=8_000,
    link_bytes_per_s=1e9,
)


def written(tmp_path: Path, change: Callable[[dict[str, Any]], None] = lambda row: None) -> Path:
    row = json.loads(json.dumps(MEASURED.to_json()))
    change(row)
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(row))
    return path


def test_a_profile_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found: Profile = read_profile(written(tmp_path))
    assert found == MEASURED


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.pop("api"),
        lambda row: row["stages"].pop("embed"),
        lambda row: row["stages"]["embed"].update(base_s=-1.0),
        lambda row: row.update(worker={"base_s": "much", "per_item_s": 0}),
        lambda row: row.update(cores=0),
        lambda row: row.update(api={"base_s": float("nan"), "per_item_s": 0.0}),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(SetupError):
        read_profile(written(tmp_path, change))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        read_profile(tmp_path / "nothing.json")


def test_a_line_through_medians() -> None:
    times = {items: [2.0 + 0.5 * items] * 3 + [100.0] for items in (1, 2, 4, 8)}
    cost = fit_cost(times)
    assert (cost.base_s, cost.per_item_s) == (pytest.approx(2.0), pytest.approx(0.5))


def test_no_part_of_a_cost_is_negative() -> None:
    assert fit_cost({1: [1.0], 2: [3.0]}).base_s == 0.0
    falling = fit_cost({1: [3.0], 2: [1.0]})
    assert falling.per_item_s == 0.0
    assert 1.0 <= falling.base_s <= 3.0
    assert fit_cost({4: [2.0]}) == Cost(0.0, 0.5)
