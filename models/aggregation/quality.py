"""What a feature norm says: its standardised value, its encoding, and the mean embedding of its quality."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_POWERS = 4
_TAIL = 0.002


class NormStatistics(nn.Module):
    """An embedder's feature norms: mean and deviation of their logarithm and the range they were seen in, kept with
    the weights. Standardised by these, a norm means the same for every embedder, and rounding of a half-precision
    embedder shifts its encoding by less than a hundredth of a turn."""

    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, *, standardise: bool = True) -> None:
        """`standardise`: else norms are passed on as they are, as the paper encodes them."""
        super().__init__()
        self._standardise = standardise
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))
        self.register_buffer("lowest", torch.tensor(-4.0))
        self.register_buffer("highest", torch.tensor(4.0))

    def fit(self, norms: NDArray[np.float32]) -> None:
        """norms: (R,) of training samples, > 0."""
        logarithms = np.log(norms.astype(np.float64))
        standardised = (logarithms - logarithms.mean()) / logarithms.std()
        self.mean.fill_(float(logarithms.mean()))
        self.std.fill_(float(logarithms.std()))
        self.lowest.fill_(float(np.quantile(standardised, _TAIL)))
        self.highest.fill_(float(np.quantile(standardised, 1.0 - _TAIL)))

    def forward(self, norms: Tensor) -> Tensor:
        """Standardised logarithms, of the same shape, clamped to the range that was seen."""
        if not self._standardise:
            return norms
        standardised = (norms.clamp_min(1e-6).log() - self.mean) / self.std
        return torch.minimum(torch.maximum(standardised, self.lowest), self.highest)


class NormEncoding(nn.Module):
    """Sinusoids of a standardised norm, then one LayerNorm: E(n)_t of the paper."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        channel = torch.arange(width)
        self.register_buffer("frequencies", 2.0 * math.pi / 10000.0 ** (2.0 * (channel // 2) / width))
        self.register_buffer("phases", (channel % 2) * (math.pi / 2.0))
        self.norm = nn.LayerNorm(width)

    def forward(self, standardised: Tensor) -> Tensor:
        """(B, N) -> (B, N, D): sine on even channels, cosine on odd ones."""
        encoded: Tensor = self.norm(torch.sin(standardised.unsqueeze(2) * self.frequencies + self.phases))
        return encoded


class QualityCentre(nn.Module):
    """The mean embedding of a given quality: a cubic of the standardised norm for each channel.

    An embedder pulls bad images of all people to common directions (blurred faces resemble each other), which lifts
    the scores of non-mated comparisons of bad sets. Taken off, what is left is what tells people apart. It is measured
    and then left alone: trained on, it fits the training people, and single bad samples pay for it.
    """

    coefficients: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("coefficients", torch.zeros(_POWERS, width))

    def fit(
        self, embeddings: NDArray[np.float32], standardised: NDArray[np.float32], person: NDArray[np.int64]
    ) -> None:
        """Least squares over training samples (R, D), (R,), each person of equal weight."""
        weight = np.sqrt(1.0 / np.bincount(person)[person])[:, None]
        powers = np.power(standardised.astype(np.float64)[:, None], np.arange(_POWERS))
        solution = np.linalg.lstsq(powers * weight, embeddings.astype(np.float64) * weight, rcond=None)[0]
        self.coefficients.copy_(torch.from_numpy(solution))

    def forward(self, standardised: Tensor) -> Tensor:
        """(B, N) -> (B, N, D)."""
        square = standardised * standardised
        powers = torch.stack([torch.ones_like(standardised), standardised, square, square * standardised], dim=2)
        return powers @ self.coefficients
