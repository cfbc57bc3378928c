"""YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.candidates import BatchCandidates, Candidates, join_candidates
from service.vision.detection import STRIDES, CanvasDetector, cell_origins

_MAX_LOG_SIZE = 10.0
_WIDTHS = (1, 1, 4, 10)
"""Numbers per anchor: class score, object score, box, landmarks."""


class YuNetDetector(CanvasDetector):
    """Twelve outputs: class score, object score, box and landmarks, each at strides 8, 16, 32; one anchor a cell."""

    images_per_pass = 32

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], batch: int, side: int) -> BatchCandidates:
        if len(outputs) != len(_WIDTHS) * len(STRIDES):
            raise InferenceFailedError(f"YuNet has 12 outputs; this network has {len(outputs)}.")
        canvases: list[NDArray[np.intp]] = []
        levels: list[Candidates] = []
        for level, stride in enumerate(STRIDES):
            at_stride = outputs[level :: len(STRIDES)]
            origins = cell_origins(side, stride, anchors=1)
            if [output.shape for output in at_stride] != [(batch, len(origins), width) for width in _WIDTHS]:
                raise InferenceFailedError(f"YuNet's outputs at stride {stride} do not fit a canvas of {side} pixels.")
            scores, objects, boxes, points = (output.astype(np.float32, copy=False) for output in at_stride)
            found = np.sqrt(np.clip(scores[..., 0], 0, 1) * np.clip(objects[..., 0], 0, 1))  # (B, A)
            canvas, cell = np.nonzero(found >= self._score_threshold)
            canvases.append(canvas)
            levels.append(_read(found[canvas, cell], boxes[canvas, cell], points[canvas, cell], origins[cell], stride))
        return BatchCandidates(join_candidates(levels), np.concatenate(canvases))


def _read(
    scores: NDArray[np.float32],  # (M,)
    box: NDArray[np.float32],  # (M, 4) centre in cells from the origin, logarithm of the size in cells
    points: NDArray[np.float32],  # (M, 10) in cells from the origin
    origins: NDArray[np.float32],  # (M, 2)
    stride: int,
) -> Candidates:
    centers = origins + box[:, :2] * stride
    half_sizes = np.exp(np.minimum(box[:, 2:], _MAX_LOG_SIZE)) * stride / 2
    return Candidates(
        scores=scores,
        boxes=np.concatenate([centers - half_sizes, centers + half_sizes], axis=1),
        landmarks=origins[:, None] + points.reshape(-1, 5, 2) * stride,
    )
