"""Fusions: how a selected core and its set become one vector."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class FusionInput(NamedTuple):
    """Masked set and its core."""

    embeddings: Tensor  # (B, N, D)
    """Unit rows, zero on padding."""
    norms: Tensor  # (B, N)
    """> 0; 1 on padding."""
    valid: Tensor  # (B, N)
    core: Tensor  # (B, K, N)
    """One-hot rows, zero for an unused slot."""
    core_used: Tensor  # (B, K)


class Fused(NamedTuple):
    """A template before normalisation."""

    template: Tensor  # (B, D)
    shares: Tensor  # (B, N)
    """How much each sample counts: >= 0, 0 on padding, of any positive sum."""


class CoresetMean(nn.Module):
    """Mean of the core's unnormalised embeddings; a sample's share is its norm among the core's."""

    def forward(self, given: FusionInput) -> Fused:
        picked = given.core.sum(dim=1) * given.norms  # (B, N)
        size = given.core_used.to(picked.dtype).sum(dim=1, keepdim=True).clamp_min(1.0)  # (B, 1)
        template = ((picked / size).unsqueeze(1) @ given.embeddings).squeeze(1)
        return Fused(template, picked)
