"""Aligned faces -> embeddings, with any recogniser that maps 112x112 to one vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.protocols import PixelNetwork
from service.types import Embedding

_MIN_NORM = 1e-6


class OnnxFaceEmbedder:
    """Runs the recogniser over all faces it is given, `batch_size` at a time."""

    def __init__(self, network: PixelNetwork, *, width: int, batch_size: int) -> None:
        """`width`: D of the recogniser. `batch_size`: most faces in one forward pass."""
        self._network = network
        self._width = width
        self._batch_size = batch_size

    @property
    def width(self) -> int:
        return self._width

    def embed(self, faces_bgr: NDArray[np.uint8]) -> list[Embedding | None]:
        """One embedding per aligned face ((B, 112, 112, 3), BGR); None where the output is not finite or has no
        length. Raises `InferenceFailedError`."""
        embeddings: list[Embedding | None] = []
        for start in range(0, len(faces_bgr), self._batch_size):
            faces = faces_bgr[start : start + self._batch_size]
            output = self._network.run(faces)[0]
            if output.shape != (len(faces), self._width):
                raise InferenceFailedError(
                    f"The embedder answered shape {output.shape} for {len(faces)} faces of width {self._width}."
                )
            embeddings += [_to_embedding(row) for row in output.astype(np.float64)]
        return embeddings


def _to_embedding(feature: NDArray[np.float64]) -> Embedding | None:
    norm = float(np.linalg.norm(feature))
    if not np.isfinite(norm) or norm < _MIN_NORM:
        return None
    return Embedding(vector=(feature / norm).astype(np.float32), norm=norm)
