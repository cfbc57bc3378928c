"""Fusions: how a selected core and its set become one vector.

Every fusion ignores padding and unused core slots. `shares` say how much each sample counts: exactly, where the
template is a weighted sum over samples; for the paper's fusion see `AttentionFusion`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.aggregation.attention import MaskedAttention
from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.quality import NormEncoding, NormStatistics


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

    @property
    def core_mean(self) -> Tensor:
        """(B, K): 1 / size for each used slot, so that `core_mean @ X` is the mean of X over the core."""
        used = self.core_used.to(self.norms.dtype)
        return used / used.sum(dim=1, keepdim=True).clamp_min(1.0)


class Fused(NamedTuple):
    """A template before normalisation."""

    template: Tensor  # (B, D)
    shares: Tensor  # (B, N)
    """How much each sample counts: >= 0, 0 on padding, of any positive sum."""


class CoresetMean(nn.Module):
    """Mean of the core's unnormalised embeddings; a sample's share is its norm among the core's."""

    def forward(self, given: FusionInput) -> Fused:
        weights = (given.core_mean.unsqueeze(1) @ given.core).squeeze(1) * given.norms  # (B, N)
        return Fused((weights.unsqueeze(1) @ given.embeddings).squeeze(1), weights)


class AttentionFusion(nn.Module):
    """The paper's fusion: template = mean over the core of (C + s * x), x = LayerNorm(C + CrossAttention).

    s is 1 (`faithful`) or learned per channel from 0 (`scaled_from_zero`). The LayerNorm makes the template no
    weighted sum of the samples, so shares are an account, not an identity: the core's part by norm, the attention's
    part by the weights of the cross-attention averaged over heads and core, mixed as 1 to the mean of |s|.
    """

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        width = config.width
        self.statistics = NormStatistics(standardise=config.standardise_norms)
        self.encoding = NormEncoding(width)
        self.self_attention = MaskedAttention(width, config.heads, config.dropout)
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention = MaskedAttention(width, config.heads, config.dropout)
        self.cross_norm = nn.LayerNorm(width)
        scaled = config.fusion is Fusion.SCALED_FROM_ZERO
        self.scale = nn.Parameter(torch.zeros(width) if scaled else torch.ones(width), requires_grad=scaled)

    def forward(self, given: FusionInput) -> Fused:
        features = given.embeddings * given.norms.unsqueeze(2)
        encoded = self.encoding(self.statistics(given.norms))
        core = given.core @ features
        query = core + given.core @ encoded
        attended, _ = self.self_attention(query, query, query, given.core_used)
        query = self.self_norm(query + attended)
        attended, attention = self.cross_attention(query, features + encoded, features, given.valid)
        fused = self.cross_norm(core + attended) * self.scale
        mean = given.core_mean.unsqueeze(1)  # (B, 1, K)
        core_share = (mean @ given.core).squeeze(1) * given.norms
        core_share = core_share / core_share.sum(dim=1, keepdim=True).clamp_min(1e-12)
        attention_share = (mean @ attention).squeeze(1)
        return Fused((mean @ (core + fused)).squeeze(1), core_share + self.scale.abs().mean() * attention_share)
