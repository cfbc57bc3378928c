from __future__ import annotations

import numpy as np
import pytest
import torch

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.methods import build_network
from models.aggregation.network import AggregatorOutput, SetAggregatorModule
from models.training.loop import fit_statistics
from tests.models.sets import random_sets, synthetic_people

WIDTH = 16
ALL = list(Fusion)


def build(fusion: Fusion, *, shaken: bool = True) -> SetAggregatorModule:
    """A network off its start, so that every term counts."""
    torch.manual_seed(1)
    network = build_network(AggregatorConfig(fusion, WIDTH, heads=4, judge_width=8))
    if fusion is not Fusion.CORESET_MEAN:
        fit_statistics(network, synthetic_people(np.random.default_rng(0), 10, 2, 3, WIDTH))
    if shaken:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def run(network: SetAggregatorModule, embeddings: np.ndarray, norms: np.ndarray, valid: np.ndarray) -> AggregatorOutput:
    with torch.inference_mode():
        return network(*map(torch.from_numpy, (embeddings, norms, valid)))


@pytest.mark.parametrize("fusion", ALL)
def test_the_contract_holds(fusion: Fusion) -> None:
    sets = random_sets(np.random.default_rng(3), 6, 7, WIDTH)
    output = run(build(fusion), sets.embeddings, sets.norms, sets.valid)
    assert output.template.shape == (6, WIDTH)
    assert torch.allclose(output.template.norm(dim=1), torch.ones(6), atol=1e-5)
    assert output.template_norm.shape == (6,) and (output.template_norm > 0).all()
    assert output.core_indices.shape == (6, 3) and output.core_indices.dtype == torch.int64
    assert torch.allclose(output.sample_weights.sum(dim=1), torch.ones(6), atol=1e-5)
    assert (output.sample_weights >= 0).all()


@pytest.mark.parametrize("fusion", ALL)
def test_padding_and_neighbours_do_not_count(fusion: Fusion) -> None:
    network = build(fusion)
    sets = random_sets(np.random.default_rng(4), 3, 5, WIDTH)
    alone = run(network, sets.embeddings[:1, :2], sets.norms[:1, :2], sets.valid[:1, :2])
    embeddings, norms, valid = sets.embeddings.copy(), sets.norms.copy(), sets.valid.copy()
    valid[0, 2:] = False
    embeddings[0, 2:] = np.nan
    norms[0, 2:] = np.inf
    together = run(network, embeddings, norms, valid)
    assert torch.allclose(alone.template[0], together.template[0], atol=1e-5)
    assert together.core_indices[0].tolist() == alone.core_indices[0].tolist()
    assert together.core_indices[0, 2] == -1
    assert together.sample_weights[0, 2:].tolist() == [0.0, 0.0, 0.0]


def test_scaled_from_zero_starts_at_the_coreset_mean() -> None:
    sets = random_sets(np.random.default_rng(5), 6, 7, WIDTH)
    inputs = (sets.embeddings, sets.norms, sets.valid)
    start = run(build(Fusion.SCALED_FROM_ZERO, shaken=False), *inputs)
    mean = run(build(Fusion.CORESET_MEAN, shaken=False), *inputs)
    assert torch.allclose(start.template, mean.template, atol=1e-6)
    assert torch.allclose(start.sample_weights, mean.sample_weights, atol=1e-6)


def test_the_cone_starts_at_pooling_by_a_power_of_the_norm() -> None:
    sets = random_sets(np.random.default_rng(6), 6, 7, WIDTH)
    output = run(build(Fusion.CONE, shaken=False), sets.embeddings, sets.norms, sets.valid)
    weights = sets.norms.astype(np.float64) ** AggregatorConfig(Fusion.CONE, WIDTH).norm_power_start
    weights /= weights.sum(axis=1, keepdims=True)
    pooled = np.einsum("bn,bnd->bd", weights, sets.embeddings)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    assert output.sample_weights.numpy() == pytest.approx(weights, abs=1e-5)
    assert output.template.numpy() == pytest.approx(pooled, abs=1e-5)


def test_the_cone_is_the_weighted_sum_that_its_weights_say() -> None:
    sets = random_sets(np.random.default_rng(7), 6, 7, WIDTH)
    output = run(build(Fusion.CONE), sets.embeddings, sets.norms, sets.valid)
    summed = np.einsum("bn,bnd->bd", output.sample_weights.numpy(), sets.embeddings)
    summed /= np.linalg.norm(summed, axis=1, keepdims=True)
    assert output.template.numpy() == pytest.approx(summed, abs=1e-5)


def test_a_single_sample_is_its_own_template_in_the_cone() -> None:
    sets = random_sets(np.random.default_rng(8), 6, 1, WIDTH)
    output = run(build(Fusion.CONE), sets.embeddings, sets.norms, sets.valid)
    assert output.template.numpy() == pytest.approx(sets.embeddings[:, 0], abs=1e-5)
    assert output.template_norm.numpy() == pytest.approx(sets.norms[:, 0], rel=1e-5)


def test_the_centred_cone_takes_the_common_direction_of_bad_samples_away() -> None:
    people = synthetic_people(np.random.default_rng(0), 60, 2, 6, WIDTH)
    bad = people.norms < 8.0
    network = build(Fusion.CENTRED_CONE, shaken=False)
    fit_statistics(network, people)
    ones = np.ones((int(bad.sum()), 1), dtype=bool)
    output = run(network, people.embeddings[bad][:, None], people.norms[bad][:, None], ones)
    assert np.linalg.norm(people.embeddings[bad].mean(axis=0)) > 0.4
    assert np.linalg.norm(output.template.numpy().mean(axis=0)) < 0.15


def test_training_mode_draws_other_cores() -> None:
    sets = random_sets(np.random.default_rng(9), 1, 10, WIDTH)
    network = build(Fusion.CORESET_MEAN).train()
    torch.manual_seed(0)
    seen = {tuple(run(network, sets.embeddings, sets.norms, sets.valid).core_indices[0].tolist()) for _ in range(20)}
    assert len(seen) > 1
    network.eval()
    seen = {tuple(run(network, sets.embeddings, sets.norms, sets.valid).core_indices[0].tolist()) for _ in range(20)}
    assert len(seen) == 1
