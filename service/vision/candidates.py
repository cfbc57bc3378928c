"""What single-stage detectors answer, and how overlapping answers become one face each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.types import Detection

MAX_CANDIDATES = 2_000
"""Best candidates of one image that enter non-maximum suppression: bounds its quadratic cost."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Anchors of one image above the score threshold, in pixels of its canvas."""

    scores: NDArray[np.float32]  # (M,)
    boxes: NDArray[np.float32]  # (M, 4) x1, y1, x2, y2
    landmarks: NDArray[np.float32]  # (M, 5, 2)


@dataclass(frozen=True, slots=True)
class BatchCandidates:
    """Anchors of all canvases of a batch."""

    candidates: Candidates
    canvases: NDArray[np.intp]  # (M,)
    """On which canvas each of them was found."""

    def of_each(self, batch: int) -> list[Candidates]:
        """By canvas."""
        return [self._of(np.flatnonzero(self.canvases == canvas)) for canvas in range(batch)]

    def _of(self, picked: NDArray[np.intp]) -> Candidates:
        return Candidates(
            self.candidates.scores[picked], self.candidates.boxes[picked], self.candidates.landmarks[picked]
        )


def join_batches(batches: Sequence[tuple[int, BatchCandidates]]) -> BatchCandidates:
    """One batch from several, each with the number of canvases before it."""
    return BatchCandidates(
        join_candidates([batch.candidates for _, batch in batches]),
        np.concatenate([batch.canvases + before for before, batch in batches]),
    )


def join_candidates(levels: Sequence[Candidates]) -> Candidates:
    """One list from the levels of a feature pyramid, in their order."""
    return Candidates(
        np.concatenate([level.scores for level in levels]),
        np.concatenate([level.boxes for level in levels]),
        np.concatenate([level.landmarks for level in levels]),
    )


def to_detections(candidates: Candidates, *, scale_x: float, scale_y: float, nms_iou: float) -> list[Detection]:
    """Faces in pixels of the image, by falling score; equal scores keep the order of the anchors.

    `scale_x`, `scale_y`: canvas pixels per image pixel. Candidates that are not finite are dropped.
    """
    finite = (
        np.isfinite(candidates.scores)
        & np.isfinite(candidates.boxes).all(axis=1)
        & np.isfinite(candidates.landmarks).all(axis=(1, 2))
    )
    usable = np.flatnonzero(finite)
    order = usable[np.argsort(-candidates.scores[usable], kind="stable")][:MAX_CANDIDATES]
    scale: NDArray[np.float32] = np.array([scale_x, scale_y], np.float32)
    boxes = candidates.boxes[order] / np.concatenate([scale, scale])
    landmarks = candidates.landmarks[order] / scale
    scores = candidates.scores[order]
    return [
        Detection(
            box=(float(boxes[kept, 0]), float(boxes[kept, 1]), float(boxes[kept, 2]), float(boxes[kept, 3])),
            score=float(scores[kept]),
            landmarks=landmarks[kept],
        )
        for kept in suppress_overlaps(boxes, nms_iou)
    ]


def suppress_overlaps(boxes: NDArray[np.float32], nms_iou: float) -> list[int]:
    """Greedy non-maximum suppression of (M, 4) boxes by falling score: indices of those kept, in that order."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    waiting = np.arange(len(boxes))
    kept: list[int] = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[rest] - overlap
        waiting = rest[overlap <= nms_iou * union]
    return kept
