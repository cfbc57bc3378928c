"""YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.candidates import Candidates, join_candidates
from service.vision.detection import STRIDES, CanvasDetector, cell_origins

_MAX_LOG_SIZE = 10.0
_WIDTHS = (1, 1, 4, 10)
"""Numbers per anchor: class score, object score, box, landmarks."""


class YuNetDetector(CanvasDetector):
    """Twelve outputs: class score, object score, box and landmarks, each at strides 8, 16, 32; one anchor a cell."""

    images_per_pass = 32

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], batch: int, side: int) -> list[Candidates]:
        if len(outputs) != len(_WIDTHS) * len(STRIDES):
            raise InferenceFailedError(f"YuNet has 12 outputs; this network has {len(outputs)}.")
        levels: list[list[Candidates]] = []
        for level, stride in enumerate(STRIDES):
            at_stride = outputs[level :: len(STRIDES)]
            origins = cell_origins(side, stride, anchors=1)
            if [output.shape for output in at_stride] != [(batch, len(origins), width) for width in _WIDTHS]:
                raise InferenceFailedError(f"YuNet's outputs at stride {stride} do not fit a canvas of {side} pixels.")
            scores, objects, boxes, points = (output.astype(np.float32, copy=False) for output in at_stride)
            levels.append(
                [
                    self._read_level(scores[row], objects[row], boxes[row], points[row], origins, stride)
                    for row in range(batch)
                ]
            )
        return [join_candidates(image_levels) for image_levels in zip(*levels, strict=True)]

    def _read_level(
        self,
        class_score: NDArray[np.float32],  # (A, 1)
        object_score: NDArray[np.float32],  # (A, 1)
        box: NDArray[np.float32],  # (A, 4) centre in cells from the origin, logarithm of the size in cells
        points: NDArray[np.float32],  # (A, 10) in cells from the origin
        origins: NDArray[np.float32],  # (A, 2)
        stride: int,
    ) -> Candidates:
        scores = np.sqrt(np.clip(class_score[:, 0], 0, 1) * np.clip(object_score[:, 0], 0, 1))
        picked = np.flatnonzero(scores >= self._score_threshold)
        origins, box = origins[picked], box[picked]
        centers = origins + box[:, :2] * stride
        half_sizes = np.exp(np.minimum(box[:, 2:], _MAX_LOG_SIZE)) * stride / 2
        return Candidates(
            scores=scores[picked],
            boxes=np.concatenate([centers - half_sizes, centers + half_sizes], axis=1),
            landmarks=origins[:, None] + points[picked].reshape(-1, 5, 2) * stride,
        )
