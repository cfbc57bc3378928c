"""SCRFD with landmarks (Guo et al.: "Sample and Computation Redistribution for Efficient Face Detection", ICLR 22)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.candidates import Candidates, join_candidates
from service.vision.detection import STRIDES, CanvasDetector, cell_origins

_ANCHORS = 2


class ScrfdDetector(CanvasDetector):
    """Nine outputs: score, box and landmarks, each at strides 8, 16, 32; two anchors a cell.

    Published files are made for one image a pass: a batch would be mixed into the anchors of their outputs.
    """

    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], side: int) -> Candidates:
        if len(outputs) != 3 * len(STRIDES):
            raise InferenceFailedError(f"SCRFD with landmarks has 9 outputs; this network has {len(outputs)}.")
        return join_candidates(
            [self._read_level(outputs[level :: len(STRIDES)], side, stride) for level, stride in enumerate(STRIDES)]
        )

    def _read_level(self, outputs: Sequence[NDArray[np.generic]], side: int, stride: int) -> Candidates:
        origins = cell_origins(side, stride, _ANCHORS)
        # Some files keep a leading batch dimension of 1.
        if [output.size for output in outputs] != [len(origins) * width for width in (1, 4, 10)]:
            raise InferenceFailedError(f"SCRFD's outputs at stride {stride} do not fit a canvas of {side} pixels.")
        scores, distances, points = (output.reshape(len(origins), -1).astype(np.float32) for output in outputs)
        picked = np.flatnonzero(scores[:, 0] >= self._score_threshold)
        origins, distances = origins[picked], distances[picked] * stride
        return Candidates(
            scores=scores[picked, 0],
            boxes=np.concatenate([origins - distances[:, :2], origins + distances[:, 2:]], axis=1),
            landmarks=origins[:, None] + points[picked].reshape(-1, 5, 2) * stride,
        )
