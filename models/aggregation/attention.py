"""Attention over the samples of a set, with padding masked out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MASKED = -1e9
"""Logit of what must not be attended to: finite, so that a row without any sample stays finite too."""


class MaskedAttention(nn.Module):
    """Multi-head scaled dot-product attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_used: Tensor) -> tuple[Tensor, Tensor]:
        """query: (B, Q, D); key, value: (B, N, D); key_used: (B, N) bool.

        Answers (B, Q, D) and the attention averaged over heads (B, Q, N), 0 where `key_used` is False.
        """
        logits = attention_logits(self.query(query), self.key(key), self._heads)
        attention = masked_softmax(logits, key_used[:, None, None, :])  # (B, H, Q, N)
        attended = self.dropout(attention) @ split_heads(self.value(value), self._heads)
        return self.dropout(self.out(merge_heads(attended))), attention.mean(dim=1)


def attention_logits(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """Scaled dot products of (B, Q, D) and (B, N, D), head by head. (B, H, Q, N)"""
    queries, keys = split_heads(query, heads), split_heads(key, heads)
    scale: float = (query.shape[2] // heads) ** -0.5
    return queries @ keys.transpose(2, 3) * scale


def masked_softmax(logits: Tensor, used: Tensor) -> Tensor:
    """Softmax over the last axis; 0 where `used` (broadcast) is False."""
    weights = torch.softmax(torch.where(used, logits, torch.full_like(logits, _MASKED)), dim=-1)
    return torch.where(used, weights, torch.zeros_like(weights))


def split_heads(values: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, H, N, D / H)."""
    return values.reshape(values.shape[0], values.shape[1], heads, values.shape[2] // heads).transpose(1, 2)


def merge_heads(values: Tensor) -> Tensor:
    """(B, H, N, D / H) -> (B, N, D)."""
    return values.transpose(1, 2).reshape(values.shape[0], values.shape[2], values.shape[1] * values.shape[3])
