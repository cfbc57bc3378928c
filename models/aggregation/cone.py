"""Attention pooling with the identity as value path: the template is a weighted sum over the samples.

Ours, beside the paper: on few training identities the paper's fusion learns the training people; a pooling that can
only weigh samples cannot.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.aggregation.attention import MaskedAttention, attention_logits, masked_softmax
from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.fusion import Fused, FusionInput
from models.aggregation.quality import NormEncoding, NormStatistics, QualityCentre
from models.aggregation.quality_filter import QualityFilter

_CONTEXT_FEATURES = 5


class ConeFusion(nn.Module):
    """template = (sum of w_i n_i) * sum of w_i x_i, with w_i >= 0 of sum 1.

    x_i is the unit embedding u_i (`cone`), u_i less the mean embedding of its quality (`centred_cone`), or that passed
    through the filter of its quality (`filtered_cone`). Core slot k gives sample i the logit
    p * log(n_i) + judge_i + attention_ki; w is the softmax over i, averaged over heads and
    core. Judge and attention end in factors that start at 0, so training starts at pooling by norm ** p. Shares are w.
    The template norm falls with the quality of the samples and with their disagreement.
    """

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        width = config.width
        self._heads = config.heads
        # Brings unit vectors to the scale of LayerNorm's outputs: 1 a channel.
        self._channel_scale = math.sqrt(width)
        self.statistics = NormStatistics(standardise=config.standardise_norms)
        self.centre = None if config.fusion is Fusion.CONE else QualityCentre(width)
        self.filter = QualityFilter(width) if config.fusion is Fusion.FILTERED_CONE else None
        self.norm_power = nn.Parameter(torch.tensor(config.norm_power_start))
        self.encoding = NormEncoding(width)
        self.self_attention = MaskedAttention(width, config.heads, config.dropout)
        self.self_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.attention_gain = nn.Parameter(torch.zeros(config.heads))
        verdict = nn.Linear(config.judge_width, 1)
        nn.init.zeros_(verdict.weight)
        nn.init.zeros_(verdict.bias)
        self.judge = nn.Sequential(
            nn.Linear(width + _CONTEXT_FEATURES, config.judge_width), nn.GELU(), nn.Dropout(config.dropout), verdict
        )

    def forward(self, given: FusionInput) -> Fused:
        quality = self.statistics(given.norms)  # (B, N)
        values = given.embeddings
        if self.centre is not None:
            values = torch.where(given.valid.unsqueeze(2), values - self.centre(quality), torch.zeros_like(values))
        if self.filter is not None:
            values = self.filter(values, quality)
        pooling = self.norm_power * given.norms.clamp_min(1e-6).log()  # (B, N)
        judged = pooling + self._judge(given, values, pooling, quality)
        logits = judged[:, None, None, :] + self._attend(given, values, quality)  # (B, H, K, N)
        weights = masked_softmax(logits, given.valid[:, None, None, :]).mean(dim=1)  # (B, K, N)
        weights = (given.core_mean.unsqueeze(1) @ weights).squeeze(1)  # (B, N)
        level = (weights * given.norms).sum(dim=1, keepdim=True)
        return Fused(level * (weights.unsqueeze(1) @ values).squeeze(1), weights)

    def _judge(self, given: FusionInput, values: Tensor, pooling: Tensor, quality: Tensor) -> Tensor:
        """What the embedding itself, its norm and its agreement with the rest of the set say of a sample. (B, N)"""
        start = masked_softmax(pooling, given.valid)  # (B, N)
        directions = functional.normalize(values, dim=2)
        consensus = start.unsqueeze(1) @ directions  # (B, 1, D)
        toward = (directions * consensus).sum(dim=2)  # (B, N)
        length = consensus.square().sum(dim=2)  # (B, 1)
        # The rest is the consensus without the sample; 0.01 keeps its direction calm where the rest is next to nothing.
        rest_length = (length - 2.0 * start * toward + start * start).clamp_min(0.0)
        agreement = (toward - start) / (rest_length + 0.01).sqrt()
        context = torch.stack(
            [quality, quality * quality, toward / (length + 0.01).sqrt(), agreement, start], dim=2
        )  # (B, N, 5)
        judged: Tensor = self.judge(torch.cat([given.embeddings * self._channel_scale, context], dim=2))
        return judged.squeeze(2)

    def _attend(self, given: FusionInput, values: Tensor, quality: Tensor) -> Tensor:
        """The core's cross-attention to the set. (B, H, K, N)"""
        keys = functional.normalize(values, dim=2) * self._channel_scale + self.encoding(quality)
        core = given.core @ keys  # (B, K, D)
        attended, _ = self.self_attention(core, core, core, given.core_used)
        query = self.self_norm(core + attended)
        logits = attention_logits(self.query(query), self.key(keys), self._heads)
        return logits * self.attention_gain[None, :, None, None]
