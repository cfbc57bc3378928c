"""YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.candidates import Candidates, join_candidates
from service.vision.detection import STRIDES, CanvasDetector, cell_origins

_MAX_LOG_SIZE = 10.0


class YuNetDetector(CanvasDetector):
    """Twelve outputs: class score, object score, box and landmarks, each at strides 8, 16, 32; one anchor a cell."""

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], side: int) -> Candidates:
        if len(outputs) != 4 * len(STRIDES):
            raise InferenceFailedError(f"YuNet has 12 outputs; this network has {len(outputs)}.")
        return join_candidates(
            [self._read_level(outputs[level :: len(STRIDES)], side, stride) for level, stride in enumerate(STRIDES)]
        )

    def _read_level(self, outputs: Sequence[NDArray[np.generic]], side: int, stride: int) -> Candidates:
        origins = cell_origins(side, stride, anchors=1)
        if [output.shape for output in outputs] != [(1, len(origins), width) for width in (1, 1, 4, 10)]:
            raise InferenceFailedError(f"YuNet's outputs at stride {stride} do not fit a canvas of {side} pixels.")
        class_score, object_score, box, points = (output[0].astype(np.float32, copy=False) for output in outputs)
        scores = np.sqrt(np.clip(class_score[:, 0], 0, 1) * np.clip(object_score[:, 0], 0, 1))
        picked = np.flatnonzero(scores >= self._score_threshold)
        origins, box = origins[picked], box[picked]
        centers = origins + box[:, :2] * stride
        half_sizes = np.exp(np.minimum(box[:, 2:], _MAX_LOG_SIZE)) * stride / 2
        landmarks = origins[:, None] + points[picked].reshape(-1, 5, 2) * stride
        return Candidates(
            scores=scores[picked],
            boxes=np.concatenate([centers - half_sizes, centers + half_sizes], axis=1),
            landmarks=landmarks,
        )
