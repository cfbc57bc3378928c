from __future__ import annotations

import numpy as np
import pytest
import torch

from models.aggregation.selection import CoreSelection, select_core
from tests.models.sets import unit


def select(
    embeddings: np.ndarray, norms: list[float], valid: list[bool] | None = None, gamma: float = 0.0
) -> CoreSelection:
    return select_core(
        torch.from_numpy(unit(embeddings))[None],
        torch.tensor([norms]),
        torch.tensor([valid or [True] * len(norms)]),
        core_size=3,
        gamma=torch.tensor(gamma),
        temperature=None,
    )


DIRECTIONS = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.2]])


def test_the_best_sample_comes_first_then_the_farthest_from_the_core() -> None:
    assert select(DIRECTIONS, [9.0, 1.0, 1.0, 1.0]).indices.tolist() == [[0, 3, 2]]


def test_gamma_turns_diversity_into_quality() -> None:
    assert select(DIRECTIONS, [9.0, 1.0, 8.0, 0.01], gamma=2.0).indices.tolist() == [[0, 2, 1]]


def test_equal_norms_go_to_the_lowest_index() -> None:
    assert select(np.eye(4), [5.0, 5.0, 5.0, 5.0]).indices.tolist() == [[0, 1, 2]]


def test_padding_is_never_picked_however_good_it_looks() -> None:
    chosen = select(DIRECTIONS, [1.0, 2.0, 99.0, 99.0], [True, True, False, False])
    assert chosen.indices.tolist() == [[1, 0, -1]]
    assert chosen.used.tolist() == [[True, True, False]]
    assert chosen.one_hot[0, 2].tolist() == [0.0] * 4


def test_duplicates_leave_slots_unused() -> None:
    chosen = select(np.array([[1.0, 2.0, 3.0]] * 5), [4.0, 7.0, 4.0, 7.0, 4.0])
    assert chosen.indices.tolist() == [[1, -1, -1]]


def test_gumbel_picks_follow_the_softmax_of_the_norms() -> None:
    torch.manual_seed(0)
    norms = torch.tensor([[1.0, 2.0, 3.0]]).repeat(4000, 1)
    embeddings = torch.eye(3).repeat(4000, 1, 1)
    valid = torch.ones(4000, 3, dtype=torch.bool)
    chosen = select_core(embeddings, norms, valid, core_size=1, gamma=torch.tensor(0.01), temperature=1.0)
    shares = torch.bincount(chosen.indices[:, 0], minlength=3) / 4000
    assert shares.tolist() == pytest.approx(torch.softmax(norms[0], dim=0).tolist(), abs=0.03)
    hard = chosen.one_hot.detach()
    assert torch.allclose(hard.sum(dim=2), torch.ones(4000, 1)) and hard.max() > 0.999


def test_gradients_flow_through_the_picks() -> None:
    torch.manual_seed(0)
    gamma = torch.tensor(0.5, requires_grad=True)
    norms = torch.rand(8, 6) + 1.0
    norms.requires_grad_()
    embeddings = torch.nn.functional.normalize(torch.randn(8, 6, 4), dim=2)
    valid = torch.ones(8, 6, dtype=torch.bool)
    chosen = select_core(embeddings, norms, valid, core_size=3, gamma=gamma, temperature=1.0)
    (chosen.one_hot @ embeddings).square().sum(dim=(1, 2)).add(
        (chosen.one_hot @ embeddings)[..., 0].sum()
    ).sum().backward()
    assert gamma.grad is not None and gamma.grad.abs() > 0
    assert norms.grad is not None and norms.grad.abs().sum() > 0
