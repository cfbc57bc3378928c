from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.aggregation.data import EmbeddingCache, SampleSets
from models.evaluation.consistency import (
    CONDITIONS,
    Condition,
    draw_set,
    fit_limits,
    limits_of,
    measure_alarms,
    measure_drop,
    page,
)
from service.packs.definitions import definitions_path, load_definitions
from tests.models.sets import synthetic_people, unit

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs" / "evaluation").glob("*-consistency.json"))
CLEAN = Condition(5, 1, 0.0)


def people(rng: np.random.Generator, count: int, images: int = 8, versions: int = 4) -> EmbeddingCache:
    """Of norms that no two samples share."""
    cache = synthetic_people(rng, count, images, versions, width=32)
    return replace(cache, norms=cache.norms + rng.uniform(0.0, 0.5, len(cache.norms)).astype(np.float32))


def pooled(sets: SampleSets) -> np.ndarray:
    return unit((sets.embeddings * (sets.norms * sets.valid)[:, :, None]).sum(axis=1))


@pytest.mark.parametrize("condition", [*CONDITIONS, Condition(6, 3, 0.5, of_one_stranger=False)], ids=lambda c: c.name)
def test_a_set_is_drawn_as_its_condition_says(condition: Condition) -> None:
    rng = np.random.default_rng(0)
    cache = people(rng, 6)
    everyone = cache.people()
    for _ in range(20):
        rows, place = draw_set(everyone, everyone, condition, rng)
        assert len(rows) == len(set(rows)) == condition.size
        subject = everyone[place].person
        own = condition.size - condition.strangers
        assert set(cache.person[rows[:own]]) == {subject}
        strangers = cache.person[rows[own:]]
        assert subject not in strangers
        assert not (condition.of_one_stranger and len(set(strangers)) > 1)
        assert condition.degraded_share or not cache.version[rows].any()


def test_limits_are_fitted_to_sets_of_one_person_and_tell_strangers() -> None:
    rng = np.random.default_rng(0)
    fitted, unseen = people(rng, 40), people(rng, 40)
    spec = fit_limits([fitted], sets=1500)
    assert list(spec.cosines) == sorted(spec.cosines)
    limits = limits_of(spec)
    alarm = measure_alarms(unseen, limits, CLEAN, 200, rng)
    calm = measure_alarms(unseen, limits, replace(CLEAN, strangers=0), 200, rng)
    assert (alarm.sets, alarm.people) == (200, 40)
    assert calm.share <= 0.02 < 0.9 < alarm.share
    rates = measure_drop(unseen, limits, pooled, Condition(4, 1, 0.0), 5, rng)
    assert rates.comparisons == 5 * 40
    assert rates.stranger_matches_dropped <= rates.stranger_matches
    text = page("p", "c", spec, [alarm, calm], [rates])
    assert "| 5 clean, 1 of them foreign | 200 | 40 |" in text
    assert "| 5 clean | 200 | 40 |" in text


def test_fitting_repeats() -> None:
    cache = people(np.random.default_rng(1), 10)
    assert fit_limits([cache], sets=100) == fit_limits([cache], sets=100)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_published_page_meets_its_goals_and_is_of_the_pack_that_ships(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    definition = load_definitions(definitions_path())[values["pack"]]
    assert values["fingerprint"] == definition.manifest.fingerprint, f"measure anew: {values['command']}"
    calibration = json.loads((definition.directory / "calibration.json").read_text())
    assert values["limits"] == calibration["consistency"], f"measure anew: {values['command']}"
    shares = {row["condition"]: row["share"] for row in values["alarms"]}
    assert all(shares[f"{size} clean"] <= 0.01 for size in (2, 3, 5, 8))
    assert shares["5 clean, 1 of them foreign"] >= 0.95
    assert shares["8 clean, 2 of them foreign of one person"] >= 0.95
    assert all(row["dropped"] <= 1.1 * row["uncontaminated"] for row in values["drop"])


def test_both_shipped_packs_are_published() -> None:
    assert [path.stem for path in PAGES] == ["buffalo_s-consistency", "opencv-sface-consistency"]
