"""SCRFD with landmarks (Guo et al.: "Sample and Computation Redistribution for Efficient Face Detection", ICLR 22)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.candidates import BatchCandidates, Candidates, join_candidates
from service.vision.canvas import FittedImage
from service.vision.detection import STRIDES, CanvasDetector, cell_origins

_ANCHORS = 2
_WIDTHS = (1, 4, 10)
"""Numbers per anchor: score, box, landmarks."""


class ScrfdDetector(CanvasDetector):
    """Nine outputs: score, box and landmarks, each at strides 8, 16, 32; two anchors a cell.

    One image a pass: the published files are made for a batch of 1, and flatten it into their anchors.
    """

    images_per_pass = 1

    def _scale_of(self, fitted: FittedImage) -> tuple[float, float]:
        """The scale of the height for both, as in `insightface`, whose boxes and embeddings are to be met. Since sizes
        are cut off to whole pixels, it is off by up to 1 / (pixels of the shorter side on the canvas) across."""
        return fitted.scale_y, fitted.scale_y

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], batch: int, side: int) -> BatchCandidates:
        if len(outputs) != len(_WIDTHS) * len(STRIDES):
            raise InferenceFailedError(f"SCRFD with landmarks has 9 outputs; this network has {len(outputs)}.")
        levels: list[Candidates] = []
        for level, stride in enumerate(STRIDES):
            at_stride = outputs[level :: len(STRIDES)]
            origins = cell_origins(side, stride, _ANCHORS)
            # Some files keep a leading batch dimension of 1, others have none.
            if [output.size for output in at_stride] != [len(origins) * width for width in _WIDTHS]:
                raise InferenceFailedError(f"SCRFD's outputs at stride {stride} do not fit a canvas of {side} pixels.")
            scores, distances, points = (
                output.reshape(len(origins), -1).astype(np.float32, copy=False) for output in at_stride
            )
            levels.append(self._read_level(scores, distances, points, origins, stride))
        candidates = join_candidates(levels)
        return BatchCandidates(candidates, np.zeros(len(candidates.scores), np.intp))

    def _read_level(
        self,
        scores: NDArray[np.float32],  # (A, 1)
        distances: NDArray[np.float32],  # (A, 4) left, top, right, bottom in cells from the origin
        points: NDArray[np.float32],  # (A, 10) in cells from the origin
        origins: NDArray[np.float32],  # (A, 2)
        stride: int,
    ) -> Candidates:
        picked = np.flatnonzero(scores[:, 0] >= self._score_threshold)
        origins, distances = origins[picked], distances[picked] * stride
        return Candidates(
            scores=scores[picked, 0],
            boxes=np.concatenate([origins - distances[:, :2], origins + distances[:, 2:]], axis=1),
            landmarks=origins[:, None] + points[picked].reshape(-1, 5, 2) * stride,
        )
