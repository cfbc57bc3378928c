"""What all detectors share: images onto canvases, forward passes in batches, candidates to faces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.protocols import InferenceSession
from service.types import Detection
from service.vision.candidates import Candidates, to_detections
from service.vision.canvas import FittedImage, choose_canvas, fit_to_canvas
from service.vision.pixel_range import PixelRange

STRIDES = (8, 16, 32)
"""Image pixels per cell of the three levels of the feature pyramid."""


class CanvasDetector(ABC):
    """A single-stage detector on square canvases; subclasses know how its network's answer is read.

    An image takes the smallest canvas that holds it, else it is scaled down to the largest. Where that finds
    nothing, smaller canvases are tried in turn: a face that fills a large image is too large for the anchors.
    """

    def __init__(
        self,
        session: InferenceSession,
        *,
        pixel_range: PixelRange,
        canvas_sides: Sequence[int],
        upscale: bool,
        score_threshold: float,
        nms_iou: float,
    ) -> None:
        """`canvas_sides`: pixels, rising, multiples of 32. `upscale`: enlarge smaller images to their canvas."""
        self._session = session
        self._pixel_range = pixel_range
        self._canvas_sides = tuple(canvas_sides)
        self._upscale = upscale
        self._score_threshold = score_threshold
        self._nms_iou = nms_iou

    def detect(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Per image ((H, W, 3), BGR, any sizes), its faces by falling score, in pixels of the image.

        Each image has its own forward pass, so that neither its neighbours nor the size of the batch reach its
        answer. Raises `InferenceFailedError`.
        """
        return [self._detect_one(image_bgr) for image_bgr in images_bgr]

    def _detect_one(self, image_bgr: NDArray[np.uint8]) -> list[Detection]:
        height, width = image_bgr.shape[:2]
        for index in range(choose_canvas(height, width, self._canvas_sides), -1, -1):
            fitted = fit_to_canvas(image_bgr, self._canvas_sides[index], upscale=self._upscale)
            detections = self._detect_fitted(fitted)
            if detections:
                return detections
        return []

    def _detect_fitted(self, fitted: FittedImage) -> list[Detection]:
        network_input = self._pixel_range.to_input(fitted.canvas_bgr[None])
        outputs = self._session.run({self._session.input_names[0]: network_input})
        candidates = self._read_candidates(outputs, len(fitted.canvas_bgr))
        return to_detections(candidates, scale_x=fitted.scale_x, scale_y=fitted.scale_y, nms_iou=self._nms_iou)

    @abstractmethod
    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], side: int) -> Candidates:
        """Anchors above the threshold from the outputs for one canvas of `side` pixels.

        Raises `InferenceFailedError` for outputs of other shapes.
        """


def cell_origins(side: int, stride: int, anchors: int) -> NDArray[np.float32]:
    """(side/stride squared * anchors, 2): x, y in pixels of the top left corner of each anchor's cell, row by row."""
    cells = side // stride
    rows, columns = np.divmod(np.repeat(np.arange(cells * cells), anchors), cells)
    return np.stack([columns, rows], axis=1).astype(np.float32) * stride
