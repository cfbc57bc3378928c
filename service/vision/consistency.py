"""Whether the faces of a set look like one person's, from their embeddings alone.

Faces are joined bottom-up into groups, the two groups whose norm-weighted mean directions are most alike first, for as
long as they are as alike as two groups of one person's faces must be. How alike that is depends on quality: a good
photograph that looks unlike the rest is somebody else, a blurred one need not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.types import Embedding

_CLOSED = -np.inf
"""Similarity of two groups that may not be joined."""


@dataclass(frozen=True, slots=True)
class ConsistencyLimits:
    """The least cosine between two groups of one person's faces. Of each group its best feature norm counts, of two
    groups the lower one: `cosines` at `norms`, lines between them, level beyond them."""

    norms: tuple[float, ...]
    cosines: tuple[float, ...]

    def least_cosine(self, norm: NDArray[np.float64]) -> NDArray[np.float64]:
        limits: NDArray[np.float64] = np.interp(norm, self.norms, self.cosines)
        return limits


NO_LIMITS = ConsistencyLimits((0.0,), (-2.0,))
"""Joins everything."""


@dataclass(frozen=True, slots=True)
class Join:
    """Two groups that became one."""

    cosine: float
    norm: float
    """The lower of their two best feature norms."""


@dataclass(frozen=True, slots=True)
class FaceGroups:
    groups: tuple[tuple[int, ...], ...]
    """Indices of the faces, ascending; the group with most faces first, among equals the one with the larger sum of
    feature norms, then the one with the earliest face."""
    joins: tuple[Join, ...]
    """In the order they were made."""


def group_faces(
    embeddings: Sequence[Embedding], limits: ConsistencyLimits, images: Sequence[int] | None = None
) -> FaceGroups:
    """`images`: the image that each face is in; faces of one image are different people. None: one face an image.

    The order of the faces decides between equals only.
    """
    norms = np.array([embedding.norm for embedding in embeddings])
    sums = np.stack([embedding.vector for embedding in embeddings]).astype(np.float64) * norms[:, None]
    board = _Board(sums, norms, np.arange(len(norms)) if images is None else np.asarray(images), limits)
    members = {index: [index] for index in range(len(norms))}
    joins = []
    while (pair := board.best_pair()) is not None:
        first, second = pair
        joins.append(board.join(first, second))
        members[first] += members.pop(second)
    groups = [tuple(sorted(group)) for group in members.values()]
    groups.sort(key=lambda group: (-len(group), -float(norms[list(group)].sum()), group))
    return FaceGroups(tuple(groups), tuple(joins))


class _Board:
    """Every two groups and how alike they are, kept up to date as groups are joined."""

    def __init__(
        self,
        sums: NDArray[np.float64],  # (N, D)
        norms: NDArray[np.float64],  # (N,)
        images: NDArray[np.int64],  # (N,)
        limits: ConsistencyLimits,
    ) -> None:
        self._limits = limits
        self._sums = sums
        self._directions = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        self._best = norms.copy()
        self._apart = images[:, None] == images[None, :]
        upper = np.triu(self._directions @ self._directions.T, 1)
        self._cosines = upper + upper.T
        self._open = np.where(self._may_join(slice(None)), self._cosines, _CLOSED)

    def best_pair(self) -> tuple[int, int] | None:
        """The two groups that are joined next, the earlier first."""
        first, second = divmod(int(self._open.argmax()), len(self._open))
        return None if self._open[first, second] == _CLOSED else (first, second)

    def join(self, first: int, second: int) -> Join:
        """`second` becomes part of `first`."""
        made = Join(float(self._cosines[first, second]), float(min(self._best[first], self._best[second])))
        self._sums[first] += self._sums[second]
        self._directions[first] = self._sums[first] / np.linalg.norm(self._sums[first])
        self._best[first] = max(self._best[first], self._best[second])
        self._apart[first] |= self._apart[second]
        self._apart[:, first] = self._apart[first]
        self._apart[second] = self._apart[:, second] = True
        self._cosines[first] = self._cosines[:, first] = self._directions @ self._directions[first]
        row = np.where(self._may_join(first), self._cosines[first], _CLOSED)
        self._open[first] = self._open[:, first] = row
        self._open[second] = self._open[:, second] = _CLOSED
        return made

    def _may_join(self, rows: int | slice) -> NDArray[np.bool_]:
        """(N, N), or (N,) for one row."""
        lower = np.minimum(self._best, np.expand_dims(self._best[rows], -1))
        alike: NDArray[np.bool_] = self._cosines[rows] >= self._limits.least_cosine(lower)
        may: NDArray[np.bool_] = alike & ~self._apart[rows]
        return may
