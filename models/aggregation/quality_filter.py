"""What is left of a person in a sample of a given quality: a linear filter, measured on the training people."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

_KNOTS = 4
_SHRINKAGE = 0.3
"""Of every covariance towards a multiple of the identity; chosen on the validation people."""
_PRIOR = 0.1
"""Weight of the spread of people in the filter; 1 is the posterior mean, which pulls bad samples too near to the mean
person. Chosen on the validation people."""
_PROTOTYPE_POWER = 4.0

_Vectors = NDArray[np.float64]  # (R, D)


class QualityFilter(nn.Module):
    """The best linear estimate of a person's direction from one sample of a quality (a Wiener filter).

    A centred embedding of quality q is taken as y = g(q) m + e: m the person's direction with the covariance B over
    people, e what the picture adds with the covariance W(q). The estimate of m is A(q) y with
    A = g (prior * B^-1 + g^2 W^-1)^-1 W^-1. Directions that blur and noise fill are damped in bad samples and kept in
    good ones. Between qualities at which A was measured it is interpolated. The model is that of Prince & Elder,
    "Probabilistic Linear Discriminant Analysis for Inferences About Identity", ICCV 2007, with a noise that follows
    quality; nothing of it is learned by descent.
    """

    knots: Tensor  # (K,)
    maps: Tensor  # (D, K D)
    """The transposes of A at the knots, side by side: one product filters a sample by all of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self.register_buffer("knots", torch.linspace(-1.5, 1.5, _KNOTS))
        self.register_buffer("maps", torch.eye(width).repeat(1, _KNOTS))

    def fit(
        self,
        centred: NDArray[np.float32],
        standardised: NDArray[np.float32],
        norms: NDArray[np.float32],
        person: NDArray[np.int64],
        image: NDArray[np.int64],
    ) -> None:
        """centred: (R, D) training samples less their quality's mean; the others (R,)."""
        vectors = centred.astype(np.float64)
        weighted = vectors * norms.astype(np.float64)[:, None] ** _PROTOTYPE_POWER
        of_person = _sums(weighted, person)
        prototypes = of_person / np.maximum(np.linalg.norm(of_person, axis=1, keepdims=True), 1e-12)
        spread = _shrunk(np.cov(prototypes[np.unique(person)].T, bias=True))
        # A sample is held against its person's other images: its own would make it look like the person.
        others = of_person[person] - _sums(weighted, image)[image]
        length = np.linalg.norm(others, axis=1)
        own_image_only = length <= 1e-9 * np.linalg.norm(of_person, axis=1)[person]
        targets = others / np.where(own_image_only, 1.0, length)[:, None]
        edges = np.quantile(standardised, np.linspace(0.0, 1.0, _KNOTS + 1)[1:-1])
        group = np.searchsorted(edges, standardised)
        for knot in range(_KNOTS):
            rows = np.flatnonzero((group == knot) & ~own_image_only)
            self.knots[knot] = float(np.median(standardised[rows]))
            columns = slice(knot * self._width, (knot + 1) * self._width)
            self.maps[:, columns] = torch.from_numpy(_filter(vectors[rows], targets[rows], spread)).T

    def forward(self, centred: Tensor, standardised: Tensor) -> Tensor:
        """(B, N, D), (B, N) -> (B, N, D): unit rows, zero where the input is."""
        shares = self._shares(standardised)  # (B, N, K)
        filtered = (centred @ self.maps).reshape(*shares.shape, self._width)  # (B, N, K, D)
        return functional.normalize((shares.unsqueeze(3) * filtered).sum(dim=2), dim=2)

    def _shares(self, standardised: Tensor) -> Tensor:
        """How much each knot's filter counts: linear between two neighbours, the outermost beyond the ends."""
        placed = torch.minimum(torch.maximum(standardised, self.knots[0]), self.knots[-1]).unsqueeze(2)
        steps = self.knots[1:] - self.knots[:-1]
        rising = (placed - self.knots[:-1]) / steps  # (B, N, K - 1): 0 at the left knot, 1 at the right one
        beyond = torch.ones_like(placed)
        upward = torch.cat([beyond, rising.clamp(0.0, 1.0)], dim=2)
        downward = torch.cat([(1.0 - rising).clamp(0.0, 1.0), beyond], dim=2)
        return torch.minimum(upward, downward)


def _filter(vectors: _Vectors, targets: _Vectors, spread: _Vectors) -> _Vectors:
    """A (D, D) of one quality."""
    gain = float((vectors * targets).sum() / (targets * targets).sum())
    residual = vectors - gain * targets
    noise = np.linalg.inv(_shrunk(residual.T @ residual / len(residual)))
    answer: _Vectors = gain * np.linalg.solve(_PRIOR * np.linalg.inv(spread) + gain * gain * noise, noise)
    return answer


def _shrunk(covariance: _Vectors) -> _Vectors:
    width = len(covariance)
    shrunk: _Vectors = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * np.trace(covariance) / width * np.eye(width)
    return shrunk


def _sums(vectors: _Vectors, group: NDArray[np.int64]) -> _Vectors:
    sums = np.zeros((int(group.max()) + 1, vectors.shape[1]))
    np.add.at(sums, group, vectors)
    return sums
