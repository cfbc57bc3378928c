"""FaceCoresetNet: the embeddings of one subject's samples become one template.

Source: Shapira & Keller, "FaceCoresetNet: Differentiable Coresets for Face Set Recognition", AAAI 2024
(arXiv 2308.14075). Different here, and why: the selection is deterministic at inference; padding and unused core
slots are masked everywhere, so a set's template never depends on its neighbours in a batch; norms are
standardised by the embedder's own statistics before they are encoded.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.aggregation.cone import ConeFusion
from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.fusion import AttentionFusion, CoresetMean, FusionInput
from models.aggregation.quality import NormStatistics, QualityCentre
from models.aggregation.quality_filter import QualityFilter
from models.aggregation.selection import select_core


class AggregatorOutput(NamedTuple):
    """The four outputs of the ONNX contract, in its order."""

    template: Tensor  # (B, D)
    """Unit length."""
    template_norm: Tensor  # (B,)
    """Length before normalisation."""
    core_indices: Tensor  # (B, K)
    """int64, -1 for an unused slot."""
    sample_weights: Tensor  # (B, N)
    """Share of each sample in the template: >= 0, sums to 1, 0 on padding."""


class SetAggregatorModule(nn.Module):
    """What every trainable method is: sets of samples in, one template a set out."""

    config: AggregatorConfig

    def norm_statistics(self) -> NormStatistics | None:
        """The embedder's statistics, to be fitted before training; None where there is nothing to train."""
        raise NotImplementedError

    def quality_centre(self) -> QualityCentre | None:
        """To be fitted after the statistics, where the method has one."""
        return None

    def quality_filter(self) -> QualityFilter | None:
        """To be fitted after the centre, where the method has one."""
        return None

    def forward(self, embeddings: Tensor, norms: Tensor, valid: Tensor) -> AggregatorOutput:
        """embeddings: (B, N, D) float32, unit rows. norms: (B, N) float32, > 0. valid: (B, N) bool, at least one
        True a row. Padding may hold anything, NaN included."""
        raise NotImplementedError


def without_padding(embeddings: Tensor, norms: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros for the embeddings and ones for the norms of what is no sample, whatever stood there."""
    return (
        torch.where(valid.unsqueeze(2), embeddings, torch.zeros_like(embeddings)),
        torch.where(valid, norms, torch.ones_like(norms)),
    )


class FaceCoresetNet(SetAggregatorModule):
    """Selection and fusion. `train()` draws the core with Gumbel noise, `eval()` takes the argmax."""

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        self.config = config
        self.gamma = nn.Parameter(torch.tensor(config.gamma_start), requires_grad=config.learn_gamma)
        self.fusion = _build_fusion(config)

    def norm_statistics(self) -> NormStatistics | None:
        return self.fusion.statistics if isinstance(self.fusion, AttentionFusion | ConeFusion) else None

    def quality_centre(self) -> QualityCentre | None:
        return self.fusion.centre if isinstance(self.fusion, ConeFusion) else None

    def quality_filter(self) -> QualityFilter | None:
        return self.fusion.filter if isinstance(self.fusion, ConeFusion) else None

    def forward(self, embeddings: Tensor, norms: Tensor, valid: Tensor) -> AggregatorOutput:
        embeddings, norms = without_padding(embeddings, norms, valid)
        selection = select_core(
            embeddings,
            norms,
            valid,
            core_size=self.config.core_size,
            gamma=self.gamma,
            temperature=self.config.temperature if self.training else None,
        )
        fused = self.fusion(FusionInput(embeddings, norms, valid, selection.one_hot, selection.used))
        length = fused.template.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        shares = fused.shares / fused.shares.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return AggregatorOutput(fused.template / length, length.squeeze(1), selection.indices, shares)


def _build_fusion(config: AggregatorConfig) -> nn.Module:
    match config.fusion:
        case Fusion.CORESET_MEAN:
            return CoresetMean()
        case Fusion.FAITHFUL | Fusion.SCALED_FROM_ZERO:
            return AttentionFusion(config)
        case Fusion.CONE | Fusion.CENTRED_CONE | Fusion.FILTERED_CONE:
            return ConeFusion(config)
        case Fusion.NAN | Fusion.CAFACE:
            raise ValueError(f"{config.fusion} is no fusion of FaceCoresetNet; see models.aggregation.methods")
