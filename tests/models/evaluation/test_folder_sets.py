from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.aggregation.data import CLEAN, EmbeddingCache
from models.datasets.people import Person
from models.evaluation.aggregates import pool_by_norm
from models.evaluation.folder_sets import (
    ProtocolName,
    SetReport,
    best_power,
    evaluate_sets,
    is_reported,
    protocol_of,
    report_json,
    usable_people,
)
from models.evaluation.set_protocol import SetProtocol, draw_sets
from service.calibration.error_rates import FMRS, ErrorRates
from tests.models.sets import synthetic_people


def people_of(cache: EmbeddingCache, images: int) -> list[Person]:
    return [Person(name, tuple(Path(f"{number}.jpg") for number in range(images))) for name in cache.names]


def evaluate(cache: EmbeddingCache, people: list[Person], name: ProtocolName = ProtocolName.MIXED) -> SetReport:
    methods = {"template": pool_by_norm(3.0), "average": pool_by_norm(0.0)}
    protocol = protocol_of(name, usable_people(cache))
    return evaluate_sets(cache, people, methods, protocol, resamples=10, progress=lambda done, total: None)


def test_the_json_has_the_form_that_others_read() -> None:
    cache = synthetic_people(np.random.default_rng(0), 60, 3, 3)
    answer = report_json(evaluate(cache, people_of(cache, 3)))
    assert answer["people"] == 60 and answer["samples"] == len(cache.norms) and answer["fta"] == 0.0
    draws = protocol_of(ProtocolName.MIXED, 60).draws
    assert answer["comparisons"] == {"mated": 60 * draws, "non_mated": 60 * 59 * draws}
    methods = answer["methods"]
    assert isinstance(methods, dict)
    assert set(methods) == {"template", "average", "best_pooling"}
    for method in methods.values():
        assert set(method["fnmr"]) == set(method["interval"]) == {"1e-2", "1e-3", "1e-4"}
        low, high = method["interval"]["1e-2"]
        assert 0.0 <= low <= high <= 1.0
    assert methods["best_pooling"]["fnmr"]["1e-3"] <= min(methods[name]["fnmr"]["1e-3"] for name in methods)


def test_few_false_matches_are_no_figure() -> None:
    cache = synthetic_people(np.random.default_rng(0), 5, 3, 3)
    answer = report_json(evaluate(cache, people_of(cache, 3)))
    methods = answer["methods"]
    assert isinstance(methods, dict)
    assert methods["template"]["fnmr"]["1e-4"] is None
    assert methods["template"]["interval"]["1e-4"] is None
    assert methods["template"]["false_matches"]["1e-4"] < 30
    rate = ErrorRates(1e-3, 0.5, (0.4, 0.6), 30, 30_000, 0.1, (0.0, 0.2), 10)
    assert is_reported(rate) and not is_reported(dataclasses.replace(rate, false_matches=29))


def test_draws_make_up_for_few_people_within_reason() -> None:
    draws = [protocol_of(ProtocolName.MIXED, people).draws for people in (3, 100, 420, 5_000)]
    assert draws == [100, 31, 10, 10]


def test_who_could_not_be_enrolled_counts_as_missed() -> None:
    cache = synthetic_people(np.random.default_rng(0), 60, 3, 3)
    people = people_of(cache, 3)
    plain = evaluate(cache, people)
    lost = [Person(f"lost {number}", (Path("a.jpg"), Path("b.jpg"))) for number in range(20)]
    alone = [Person("alone", (Path("a.jpg"),))]
    failing = dataclasses.replace(cache, images_without_face=40)
    folded = evaluate(failing, [*people, *lost, *alone])
    assert folded.fte == pytest.approx(20 / 80)
    assert folded.fta == pytest.approx(40 / (180 + 40 + 1))
    for before, after in zip(plain.methods["template"], folded.methods["template"], strict=True):
        assert after.fnmr == pytest.approx(0.25 + 0.75 * before.fnmr)
        assert after.fnmr_interval == pytest.approx(tuple(0.25 + 0.75 * end for end in before.fnmr_interval))


@pytest.mark.parametrize("name", list(ProtocolName))
def test_the_protocols_are_what_their_names_say(name: ProtocolName) -> None:
    cache = synthetic_people(np.random.default_rng(0), 12, 6, 3)
    draw = next(draw_sets(cache, protocol_of(name, 12)))
    rows = np.concatenate([*draw.references, *draw.probes])
    owners = np.repeat(np.tile(draw.people, 2), [len(part) for part in (*draw.references, *draw.probes)])
    assert np.any(cache.person[rows] != owners) == (name is ProtocolName.CONTAMINATED)
    assert np.all(cache.version[rows] == CLEAN) == (name is ProtocolName.CLEAN)


def test_one_person_is_no_protocol() -> None:
    cache = synthetic_people(np.random.default_rng(0), 1, 3, 3)
    with pytest.raises(ValueError, match="two people"):
        evaluate(cache, people_of(cache, 3))
    assert len(FMRS) == 3


def test_the_best_power_is_better_than_none_where_bad_samples_have_low_norms() -> None:
    cache = synthetic_people(np.random.default_rng(0), 90, 4, 4)
    seen: list[int] = []
    assert best_power(cache, list(draw_sets(cache, SetProtocol())), seen.append) > 0.0
    assert seen == list(range(1, 26))
