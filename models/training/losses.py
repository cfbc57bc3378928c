"""Training losses: identity classification with a margin that follows quality, and set against set.

AdaFace: Kim, Jain & Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022, equations 7 to 9.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AdaFaceHead(nn.Module):
    """Logits over the training identities. A high template norm (good quality) gets an additive angular margin
    that stresses hard cases, a low one a margin that does not."""

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(
        self,
        prototypes: Tensor,
        *,
        scale: float = 48.0,
        margin: float = 0.8,
        concentration: float = 0.333,
        momentum: float = 0.01,
    ) -> None:
        """prototypes: (C, D), where the class centres start. scale, margin, concentration and momentum are the
        paper's s, m, h and t_alpha."""
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(prototypes, dim=1))
        self.scale, self.margin = scale, margin
        self.concentration, self.momentum = concentration, momentum
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_std", torch.tensor(100.0))

    def forward(self, templates: Tensor, norms: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy. templates: (B, D) unit rows; norms: (B,); labels: (B,) int64."""
        cosine = templates @ functional.normalize(self.weight, dim=1).T  # (B, C)
        quality = self._quality(norms.detach().clamp(1e-3, 100.0))  # (B,)
        target = cosine.gather(1, labels[:, None]).squeeze(1).clamp(-1.0 + 1e-4, 1.0 - 1e-4)
        angle = (target.acos() - self.margin * quality).clamp(1e-3, torch.pi - 1e-3)
        target = angle.cos() - (self.margin + self.margin * quality)
        logits = cosine.scatter(1, labels[:, None], target[:, None])
        return functional.cross_entropy(self.scale * logits, labels)

    def _quality(self, norms: Tensor) -> Tensor:
        """Norm against its running statistics, -1..1."""
        if self.training:
            with torch.no_grad():
                self.norm_mean.lerp_(norms.mean(), self.momentum)
                self.norm_std.lerp_(norms.std(), self.momentum)
        return ((norms - self.norm_mean) / (self.norm_std + 1e-3) * self.concentration).clamp(-1.0, 1.0)


def set_against_set(references: Tensor, probes: Tensor, *, scale: float, margin: float) -> Tensor:
    """Each person's two sets must be nearer to each other than to any other person's of the batch.

    references, probes: (P, D) unit rows, one person a row. Symmetric cross-entropy over the cosines with an
    additive margin on the mated ones: the comparison that the service will make, on people without class centres.
    """
    cosine = references @ probes.T  # (P, P)
    logits = scale * (cosine - margin * torch.eye(len(cosine), device=cosine.device))
    labels = torch.arange(len(cosine), device=cosine.device)
    return (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2.0
