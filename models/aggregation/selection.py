"""Core selection: differentiable farthest-point sampling over the samples of a set, quality first.

Method: Shapira & Keller, "FaceCoresetNet", AAAI 2024, section on differentiable coresets. The loop over the K
slots is unrolled, so that an exported graph holds all of them whatever set it was traced with; a slot that no
new sample can fill is marked unused instead of picking a sample twice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DUPLICATE_DISTANCE = 1e-5
"""Samples nearer than this to the core, (1 - cosine) / 2, hold nothing new. Float32 noise is near 1e-7."""

_NEVER = -1.0
"""Below every norm and every distance: the score of a sample that must not be picked."""


class CoreSelection(NamedTuple):
    """The core of each set."""

    one_hot: Tensor  # (B, K, N)
    """Row k picks the sample of slot k; gradients flow through it in training. Zero for an unused slot."""
    used: Tensor  # (B, K)
    """True where the slot holds a sample."""
    indices: Tensor  # (B, K)
    """int64 index of each slot's sample, -1 for an unused slot."""


def select_core(
    embeddings: Tensor, norms: Tensor, valid: Tensor, *, core_size: int, gamma: Tensor, temperature: float | None
) -> CoreSelection:
    """Pick up to `core_size` samples of each set.

    embeddings: (B, N, D) float32, unit rows, zero on padding. norms: (B, N) float32, > 0, 1 on padding.
    valid: (B, N) bool. gamma: scalar, the weight of quality against diversity.
    temperature: of the straight-through Gumbel-Softmax (training), or None for argmax with ties to the lowest
    index (inference: the limit of Gumbel-Softmax without its noise).
    """
    quality = norms.clamp_min(1e-6) ** gamma
    score, candidates = norms, valid
    distance = torch.full_like(norms, 2.0)
    one_hots, used, indices = [], [], []
    for _ in range(core_size):
        slot_used = candidates.any(dim=1)  # (B,)
        pick, index = _pick(score, candidates, temperature)  # (B, N), (B,)
        pick = torch.where(slot_used[:, None], pick, torch.zeros_like(pick))
        member = torch.matmul(pick.unsqueeze(1), embeddings)  # (B, 1, D)
        cosine = (embeddings * member).sum(dim=2)  # (B, N)
        distance = torch.where(slot_used[:, None], torch.minimum(distance, (1.0 - cosine) / 2.0), distance)
        candidates = valid & (distance > DUPLICATE_DISTANCE)
        score = quality * distance
        one_hots.append(pick)
        used.append(slot_used)
        indices.append(torch.where(slot_used, index, torch.full_like(index, -1)))
    return CoreSelection(torch.stack(one_hots, dim=1), torch.stack(used, dim=1), torch.stack(indices, dim=1))


def _pick(score: Tensor, candidates: Tensor, temperature: float | None) -> tuple[Tensor, Tensor]:
    """One-hot (B, N) and index (B,) of the best candidate of each set."""
    if temperature is None:
        index = torch.where(candidates, score, torch.full_like(score, _NEVER)).argmax(dim=1)
        positions = torch.arange(score.shape[1], device=score.device)
        return (positions[None, :] == index[:, None]).to(score.dtype), index
    logits = torch.where(candidates, score, torch.full_like(score, -1e9))
    exponential = torch.empty_like(logits).exponential_().clamp_min(1e-20)
    soft = torch.softmax((logits - exponential.log()) / temperature, dim=1)
    index = soft.argmax(dim=1)
    hard = torch.zeros_like(soft).scatter(1, index[:, None], 1.0)
    return hard + soft - soft.detach(), index
