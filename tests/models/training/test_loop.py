from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.data import EmbeddingCache
from models.aggregation.methods import build_network
from models.aggregation.network import FaceCoresetNet
from models.aggregation.weights import load_weights, save_weights
from models.evaluation.aggregates import aggregate_with_module, pool_by_norm
from models.evaluation.set_protocol import Aggregate, SetProtocol, compare_draws, draw_sets
from models.training.configuration import RunConfig, TrainingRecipe
from models.training.loop import RunPlace, fit_statistics, train_aggregator
from service.calibration.error_rates import false_non_match_rate, threshold_at
from tests.models.sets import synthetic_people

WIDTH = 16
CONFIG = AggregatorConfig(Fusion.FILTERED_CONE, WIDTH, heads=4, judge_width=8)
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


@pytest.mark.parametrize("fusion", [fusion for fusion in Fusion if fusion is not Fusion.CORESET_MEAN])
def test_the_same_seed_gives_the_same_weights(fusion: Fusion) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    config = AggregatorConfig(fusion, WIDTH, heads=4, judge_width=8)
    first, second = (train_aggregator(config, RECIPE, people, silent) for _ in range(2))
    start = build_network(config).state_dict()
    moved = False
    for (name, left), right in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(left, right), name
        assert torch.isfinite(left).all(), name
        moved |= not torch.equal(left, start[name])
    assert moved


@pytest.mark.parametrize("fusion", [Fusion.NAN, Fusion.CAFACE])
def test_the_rivals_learn_too(fusion: Fusion) -> None:
    everyone = synthetic_people(np.random.default_rng(0), 120, 3, 4, WIDTH)
    train, unseen = only_people(everyone, range(60)), only_people(everyone, range(60, 120))
    config = AggregatorConfig(fusion, WIDTH)
    network = train_aggregator(config, TrainingRecipe(steps=80, people_per_step=32, largest_set=8), train, silent)
    draws = list(draw_sets(unseen, SetProtocol(draws=4)))
    scores = [compare_draws(unseen, draws, method) for method in (aggregate_with_module(network), pool_by_norm(0.0))]
    trained, average = (false_non_match_rate(part.mated, threshold_at(part.non_mated, 1e-2)) for part in scores)
    assert trained < 0.8 * average


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


def test_a_run_that_was_stopped_ends_where_one_that_was_not_ends(tmp_path: Path) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    run = RunConfig(log_every=2, checkpoint_every=2)
    whole = train_aggregator(CONFIG, RECIPE, people, silent, run=run, place=RunPlace(tmp_path / "whole"))

    class StoppedError(Exception):
        pass

    def stop_after_five(done: int, total: int) -> None:
        if done == 5:
            raise StoppedError

    place = RunPlace(tmp_path / "stopped", resume=True)
    with pytest.raises(StoppedError):
        train_aggregator(
            CONFIG, RECIPE, people, stop_after_five, run=run, place=dataclasses.replace(place, resume=False)
        )
    steps: list[int] = []
    resumed = train_aggregator(CONFIG, RECIPE, people, lambda done, total: steps.append(done), run=run, place=place)
    assert steps == [5, 6]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_figures_are_logged(tmp_path: Path) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    train_aggregator(CONFIG, RECIPE, people, silent, run=RunConfig(log_every=4), place=RunPlace(tmp_path))
    lines = (tmp_path / "training.csv").read_text().splitlines()
    assert lines[0] == "step,loss,identity,pairs"
    assert [int(line.split(",")[0]) for line in lines[1:]] == [4, 6]
    assert all(np.isfinite(float(value)) for line in lines[1:] for value in line.split(","))
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    with pytest.raises(ValueError, match="no checkpoint"):
        train_aggregator(CONFIG, RECIPE, people, silent, place=RunPlace(tmp_path, resume=True))
    train_aggregator(CONFIG, RECIPE, people, silent, place=RunPlace(tmp_path))
    with pytest.raises(ValueError, match="another run"):
        train_aggregator(
            CONFIG, RECIPE.model_copy(update={"seed": 1}), people, silent, place=RunPlace(tmp_path, resume=True)
        )


def test_a_fixed_gamma_stays_and_a_learned_one_moves() -> None:
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    for learn in (True, False):
        network = train_aggregator(dataclasses.replace(CONFIG, learn_gamma=learn), RECIPE, people, silent)
        assert isinstance(network, FaceCoresetNet)
        assert (float(network.gamma.detach()) != pytest.approx(CONFIG.gamma_start, abs=1e-9)) == learn


def test_half_precision_trains_too() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # one process keeps to one precision otherwise
    people = synthetic_people(np.random.default_rng(0), 12, 3, 3, WIDTH)
    network = train_aggregator(CONFIG, RECIPE, people, silent, run=RunConfig(mixed_precision="bf16"))
    AcceleratorState._reset_state(reset_partial_state=True)
    assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in network.state_dict().values())
