"""Embeddings of one subject -> one template, by the pack's aggregator network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.protocols import InferenceSession
from service.types import Aggregation, Embedding

_UNIT_LENGTH_TOLERANCE = 1e-3


class OnnxSetAggregator:
    """Feeds sets as (values, valid): `embeddings` (B, N, D), `norms` (B, N), `valid` (B, N)."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
        """One aggregation per set of at least one embedding, in order.

        Each set has its own forward pass without padding, so that its answer is the same bits whatever waits
        beside it. Raises `InferenceFailedError` for outputs that are not finite or of other shapes.
        """
        return [self._aggregate_one(embeddings) for embeddings in sets]

    def aggregate_without_each(self, embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
        """(N, D), unit length, in one forward pass. Raises `InferenceFailedError`."""
        size = len(embeddings)
        others = np.array([[other for other in range(size) if other != index] for index in range(size)])
        vectors = np.stack([embedding.vector for embedding in embeddings])[others]
        norms = np.array([embedding.norm for embedding in embeddings], np.float32)[others]
        templates = self._session.run({"embeddings": vectors, "norms": norms, "valid": np.ones_like(norms, np.bool_)})[
            0
        ]
        if templates.shape != (size, vectors.shape[2]) or not np.isfinite(templates.astype(np.float64)).all():
            raise InferenceFailedError("The aggregator answered templates that are not finite or of another shape.")
        return templates.astype(np.float32)

    def _aggregate_one(self, embeddings: Sequence[Embedding]) -> Aggregation:
        size = len(embeddings)
        vectors = np.stack([embedding.vector for embedding in embeddings])[None]
        norms = np.array([[embedding.norm for embedding in embeddings]], np.float32)
        outputs = self._session.run({"embeddings": vectors, "norms": norms, "valid": np.ones((1, size), np.bool_)})
        if len(outputs) != 4:
            raise InferenceFailedError(f"The aggregator answered {len(outputs)} outputs instead of 4.")
        template, template_norm, core_indices, weights = outputs
        if template.shape != (1, vectors.shape[2]) or weights.shape != (1, size) or template_norm.shape != (1,):
            raise InferenceFailedError("The aggregator answered other shapes than its contract states.")
        return _to_aggregation(
            template[0].astype(np.float64), float(template_norm[0]), core_indices[0], weights[0].astype(np.float64)
        )


def _to_aggregation(
    template: NDArray[np.float64], norm: float, core_indices: NDArray[np.generic], weights: NDArray[np.float64]
) -> Aggregation:
    length = float(np.linalg.norm(template))
    finite = np.isfinite(template).all() and np.isfinite(weights).all() and np.isfinite(norm)
    if not finite or abs(length - 1) > _UNIT_LENGTH_TOLERANCE:
        raise InferenceFailedError("The aggregator answered a template that is not finite or not of unit length.")
    core = tuple(int(index) for index in core_indices if index >= 0)
    if not core or max(core) >= len(weights):
        raise InferenceFailedError("The aggregator picked a core sample that is not in the set.")
    return Aggregation(
        vector=(template / length).astype(np.float32),
        norm=norm,
        core_indices=core,
        weights=tuple(float(weight) for weight in weights),
    )
