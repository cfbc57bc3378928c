from __future__ import annotations

import math

import pytest
import torch

from models.training.losses import AdaFaceHead, set_against_set


def test_the_margin_follows_the_published_formula() -> None:
    head = AdaFaceHead(torch.eye(3), scale=10.0, margin=0.4, concentration=0.333).eval()
    head.norm_mean.fill_(10.0)
    head.norm_std.fill_(2.0)
    cosine, norm = 0.6, 13.0
    template = torch.tensor([[cosine, math.sqrt(1 - cosine**2), 0.0]])
    quality = min(1.0, (norm - 10.0) / 2.001 * 0.333)
    target = math.cos(math.acos(cosine) - 0.4 * quality) - (0.4 + 0.4 * quality)
    logits = torch.tensor([[10 * target, 10 * math.sqrt(1 - cosine**2), 0.0]])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    loss = head(template, torch.tensor([norm]), torch.tensor([0]))
    assert float(loss.detach()) == pytest.approx(float(expected), abs=1e-5)


def test_norm_statistics_run_in_training_only() -> None:
    head = AdaFaceHead(torch.eye(3))
    inputs = (torch.eye(3), torch.tensor([5.0, 6.0, 7.0]), torch.arange(3))
    head.eval()(*inputs)
    assert float(head.norm_mean) == 20.0
    head.train()(*inputs)
    assert float(head.norm_mean) == pytest.approx(20.0 + 0.01 * (6.0 - 20.0))


def test_set_against_set_wants_mated_sets_nearest() -> None:
    people = torch.eye(5)
    right = set_against_set(people, people, scale=32.0, margin=0.2)
    swapped = set_against_set(people, people.roll(1, dims=0), scale=32.0, margin=0.2)
    assert right < 0.01 < 10.0 < swapped
