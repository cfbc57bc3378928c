"""What an aggregator is: the choices that, with its weights, define what it computes."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum


class Fusion(StrEnum):
    """How the core and the set become one template."""

    CORESET_MEAN = "coreset_mean"
    """Mean of the core's unnormalised embeddings. Nothing to train."""
    FAITHFUL = "faithful"
    """The paper's fusion: self-attention in the core, cross-attention to the set, LayerNorm, skip to the core."""
    SCALED_FROM_ZERO = "scaled_from_zero"
    """The same with a learned scale per channel on the attention's part that starts at 0 (the coreset mean)."""
    CONE = "cone"
    """The core's queries attend to the set, the value path is the identity: the template is a weighted sum of
    the set's embeddings. Starts as pooling by a power of the norm."""
    CENTRED_CONE = "centred_cone"
    """The cone over embeddings freed of what bad quality alone puts into them: each has the mean embedding of its
    feature norm taken off first."""
    FILTERED_CONE = "filtered_cone"
    """The centred cone over embeddings passed through the filter of their quality, which damps the directions that bad
    pictures fill."""
    NAN = "nan"
    """Rival: two cascaded attention poolings (Yang et al., CVPR 2017)."""
    CAFACE = "caface"
    """Rival: cluster and aggregate (Kim et al., NeurIPS 2022)."""


@dataclass(frozen=True, slots=True)
class AggregatorConfig:
    """Travels inside the exported file, so that the file alone rebuilds the module."""

    fusion: Fusion
    width: int
    """D, the embedding width. Free (any D works) for the coreset mean."""
    core_size: int = 3
    """K."""
    heads: int = 8
    dropout: float = 0.1
    temperature: float = 1.0
    """Of the straight-through Gumbel-Softmax in training."""
    gamma_start: float = 0.01
    """Start of the learned weight of quality against diversity in the core selection; 0.01 is the paper's."""
    learn_gamma: bool = True
    """Else gamma stays at its start."""
    norm_power_start: float = 5.0
    """Start of the learned power of the norm in the cone's pooling."""
    judge_width: int = 64
    """Hidden units of the cone's judge of single samples."""
    standardise_norms: bool = True
    """Encode norms standardised by the embedder's statistics; else as they are, as the paper does."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> AggregatorConfig:
        """Raises TypeError or ValueError for anything that `to_json` would not write."""
        values = json.loads(text)
        return cls(**{**values, "fusion": Fusion(values["fusion"])})
