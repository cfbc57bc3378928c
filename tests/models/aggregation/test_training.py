from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.data import EmbeddingCache
from models.aggregation.network import FaceCoresetNet
from models.aggregation.training import TrainingRecipe, fit_statistics, train_aggregator
from models.aggregation.weights import load_weights, save_weights
from models.evaluation.aggregates import aggregate_with_module, pool_by_norm
from models.evaluation.metrics import false_non_match_rate, threshold_at
from models.evaluation.set_protocol import Aggregate, SetProtocol, compare_draws, draw_sets
from tests.models.sets import synthetic_people

WIDTH = 16
CONFIG = AggregatorConfig(Fusion.CENTRED_CONE, WIDTH, heads=4, judge_width=8)
RECIPE = TrainingRecipe(steps=6, people_per_step=8, largest_set=5)


def only_people(cache: EmbeddingCache, people: range) -> EmbeddingCache:
    rows = np.isin(cache.person, list(people))
    return dataclasses.replace(
        cache,
        names=cache.names[people.start : people.stop],
        person=cache.person[rows] - people.start,
        image=cache.image[rows],
        version=cache.version[rows],
        embeddings=cache.embeddings[rows],
        norms=cache.norms[rows],
    )


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("fusion", [Fusion.FAITHFUL, Fusion.SCALED_FROM_ZERO, Fusion.CONE, Fusion.CENTRED_CONE])
def test_the_same_seed_gives_the_same_weights(fusion: Fusion) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    config = AggregatorConfig(fusion, WIDTH, heads=4, judge_width=8)
    first, second = (train_aggregator(config, RECIPE, people, silent) for _ in range(2))
    start = FaceCoresetNet(config).state_dict()
    moved = False
    for (name, left), right in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(left, right), name
        assert torch.isfinite(left).all(), name
        moved |= not torch.equal(left, start[name])
    assert moved


def test_training_beats_norm_weighting_on_people_it_never_saw() -> None:
    everyone = synthetic_people(np.random.default_rng(0), 120, 3, 4, WIDTH)
    train, unseen = only_people(everyone, range(60)), only_people(everyone, range(60, 120))
    network = train_aggregator(CONFIG, TrainingRecipe(steps=60, people_per_step=32, largest_set=8), train, silent)
    draws = list(draw_sets(unseen, SetProtocol(draws=4)))

    def misses(aggregate: Aggregate) -> float:
        scores = compare_draws(unseen, draws, aggregate)
        return false_non_match_rate(scores.mated, threshold_at(scores.non_mated, 1e-2))

    assert misses(aggregate_with_module(network)) < 0.8 * misses(pool_by_norm(1.0))


def test_the_coreset_mean_has_nothing_to_train() -> None:
    network = FaceCoresetNet(AggregatorConfig(Fusion.CORESET_MEAN, WIDTH))
    with pytest.raises(ValueError, match="nothing to train"):
        fit_statistics(network, synthetic_people(np.random.default_rng(0), 3, 2, 1, WIDTH))


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    network = train_aggregator(CONFIG, RECIPE, people, silent)
    save_weights(network, tmp_path / "weights.npz")
    loaded = load_weights(tmp_path / "weights.npz")
    assert loaded.config == network.config
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())
