"""The same picture twice: saved again, scaled, cropped a little or brightened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.types import Embedding

LEAST_COSINE = 0.94
"""Measured on LFW with both shipped packs: copies at JPEG quality 50, at half and at 1.5 times the size, cropped by a
tenth or brightened keep 0.944 or more to the original; of two photographs of one person 1 in 9,000 pairs reach it, and
those are prints of one shot."""


def representatives(embeddings: Sequence[Embedding]) -> list[int]:
    """For each face the index of the one that stands for it: itself, or the better copy.

    The face with the largest feature norm stands for all its copies, then the largest of the rest, and so on; among
    equals the earlier one.
    """
    vectors = np.stack([embedding.vector for embedding in embeddings])
    order = sorted(range(len(embeddings)), key=lambda index: (-embeddings[index].norm, index))
    chosen = [-1] * len(embeddings)
    for index in order:
        if chosen[index] < 0:
            for copy in np.flatnonzero(vectors @ vectors[index] >= LEAST_COSINE).tolist():
                if chosen[copy] < 0:
                    chosen[copy] = index
            chosen[index] = index
    return chosen
