"""The people in a clip: faces of its frames that are one person's become one track, and a track counts as one face.

So 300 frames of one clip weigh as much in a template as one photograph, as in the media average of the IJB protocols.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.types import EmbeddedFace, Embedding
from service.vision.consistency import ConsistencyLimits, group_faces

_LIMITS = ConsistencyLimits((0.0,), (0.5,))
"""Stricter than for pictures taken apart: neighbouring frames look alike, and a track that breaks in two does no
harm."""
_BEST_FRAMES = 8
"""Of a track, by feature norm."""


def track_faces(faces: Sequence[EmbeddedFace], frames: Sequence[int]) -> list[EmbeddedFace]:
    """One face for each person of a clip, the person in most frames first. `frames`: the frame that each face is in.

    A track's embedding is the mean of the unnormalised embeddings of its best frames, its box that of the best one.
    """
    groups = group_faces([face.embedding for face in faces], _LIMITS, frames).groups
    return [_track([faces[index] for index in group]) for group in groups]


def _track(faces: Sequence[EmbeddedFace]) -> EmbeddedFace:
    best = sorted(faces, key=lambda face: -face.embedding.norm)[:_BEST_FRAMES]
    mean = np.mean([face.embedding.vector.astype(np.float64) * face.embedding.norm for face in best], axis=0)
    norm = float(np.linalg.norm(mean))
    embedding = Embedding((mean / norm).astype(np.float32), norm)
    return EmbeddedFace(best[0].detection, best[0].quality, embedding, best[0].seconds)
