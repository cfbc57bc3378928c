from __future__ import annotations

import numpy as np
import pytest

from models.aggregation.data import CLEAN
from models.evaluation.aggregates import baselines, pool_by_norm
from models.evaluation.measure import measure_sets
from models.evaluation.rates_table import rates_table
from models.evaluation.set_protocol import SetProtocol, compare_draws, draw_sets
from tests.models.sets import synthetic_people


def test_the_two_sets_of_a_person_share_no_image() -> None:
    cache = synthetic_people(np.random.default_rng(0), 12, 5, 4)
    draws = list(draw_sets(cache, SetProtocol(draws=3)))
    assert len(draws) == 3
    for draw in draws:
        for person, reference, probe in zip(draw.people, draw.references, draw.probes, strict=True):
            assert set(cache.person[np.concatenate([reference, probe])]) == {person}
            assert not set(cache.image[reference]) & set(cache.image[probe])


def test_people_with_one_image_are_left_out_of_mated_sets() -> None:
    cache = synthetic_people(np.random.default_rng(0), 5, 1, 4)
    assert all(len(draw.people) == 0 for draw in draw_sets(cache, SetProtocol(draws=1)))


def test_sizes_and_shares_are_as_the_protocol_says() -> None:
    cache = synthetic_people(np.random.default_rng(0), 40, 30, 4)
    sets = [rows for draw in draw_sets(cache, SetProtocol(draws=5)) for rows in (*draw.references, *draw.probes)]
    sizes = np.array([len(rows) for rows in sets])
    assert (sizes.min(), sizes.max()) == (2, 12)
    assert sizes.mean() == pytest.approx(7.0, abs=0.5)
    assert np.mean(cache.version[np.concatenate(sets)] != CLEAN) == pytest.approx(0.8, abs=0.03)


def test_intruders_are_somebody_else_in_every_set() -> None:
    cache = synthetic_people(np.random.default_rng(0), 12, 5, 4)
    for draw in draw_sets(cache, SetProtocol(draws=3, intruders=2)):
        for person, reference, probe in zip(draw.people, draw.references, draw.probes, strict=True):
            for rows in (reference, probe):
                assert (cache.person[rows] == person).sum() == len(rows) - 2
                assert len(set(cache.person[rows[-2:]]) - {person}) == 1


def test_every_other_person_is_compared_once_a_draw() -> None:
    cache = synthetic_people(np.random.default_rng(0), 6, 2, 3)
    scores = compare_draws(cache, list(draw_sets(cache, SetProtocol(draws=2))), pool_by_norm(1.0))
    assert len(scores.mated) == 12 and len(scores.non_mated) == 2 * 6 * 5
    assert scores.mated.mean() > scores.non_mated.mean() + 0.2
    pairs = {tuple(pair) for pair in scores.non_mated_people.tolist()}
    assert pairs == {(a, b) for a in range(6) for b in range(6) if a != b}


def test_measuring_gives_each_aggregate_its_row() -> None:
    cache = synthetic_people(np.random.default_rng(0), 20, 3, 4)
    rates = measure_sets(cache, baselines(16), SetProtocol(draws=2), resamples=10)
    assert set(rates) == set(baselines(16))
    assert rates["norm^4"][0].fnmr <= rates["average"][0].fnmr
    assert rates_table(rates).count("\n") == len(rates) + 1


def test_a_duplicate_is_one_sample_again_and_changes_nothing_else() -> None:
    cache = synthetic_people(np.random.default_rng(0), 6, 4, 3)
    [plain] = draw_sets(cache, SetProtocol(draws=1))
    [repeated] = draw_sets(cache, SetProtocol(draws=1, duplicates=3))
    for before, after in zip([*plain.references, *plain.probes], [*repeated.references, *repeated.probes], strict=True):
        assert after[: len(before)].tolist() == before.tolist()
        [again] = set(after[len(before) :].tolist())
        assert len(after) == len(before) + 3 and again in before
