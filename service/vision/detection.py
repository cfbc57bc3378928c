"""What all detectors share: images onto canvases, forward passes in batches, candidates to faces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.protocols import PixelNetwork
from service.types import Detection
from service.vision.alignment import similarity_to_template
from service.vision.candidates import BatchCandidates, join_batches, to_detections
from service.vision.canvas import FittedImage, choose_canvas, fit_to_canvas
from service.vision.landmark_views import LandmarkView, draw_faces, landmarks_in_images, place_faces
from service.vision.turning import turn_back, turn_image

PIXELS_PER_PASS = 8 * 320 * 320
"""On a CPU more of them gain nothing, and their feature maps fall out of its cache."""
STRIDES = (8, 16, 32)
"""Image pixels per cell of the three levels of the feature pyramid."""

_Item = TypeVar("_Item")


class CanvasDetector(ABC):
    """A single-stage detector on square canvases; subclasses know how its network's answer is read.

    An image takes the smallest canvas that holds it, else it is scaled down to the largest. Where that finds
    nothing, smaller canvases are tried in turn: a face that fills a large image is too large for the anchors.
    """

    images_per_pass: ClassVar[int]
    """Most images in one forward pass, however small they are."""

    def __init__(
        self,
        network: PixelNetwork,
        *,
        canvas_sides: Sequence[int],
        upscale: bool,
        score_threshold: float,
        nms_iou: float,
        turn_below_score: float = 0.0,
        landmark_views: Sequence[LandmarkView] = (),
        pixels_per_pass: int = PIXELS_PER_PASS,
    ) -> None:
        """`canvas_sides`: pixels, rising, multiples of 32. `upscale`: enlarge smaller images to their canvas.
        `turn_below_score`: an image whose best face scores less is tried in its three quarter turns as well, for
        pictures that lie on their side; 0 never does. `landmark_views`: scales at which a chosen face is looked at
        again for its landmarks; none leaves them as they were found. `pixels_per_pass`: what a batch of canvases may
        have together, unless one alone has more."""
        self._network = network
        self._canvas_sides = tuple(canvas_sides)
        self._upscale = upscale
        self._score_threshold = score_threshold
        self._nms_iou = nms_iou
        self._turn_below_score = turn_below_score
        self._landmark_views = tuple(landmark_views)
        self._pixels_per_pass = pixels_per_pass

    def detect(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Per image ((H, W, 3), BGR, any sizes), its faces by falling score, in pixels of the image.

        Raises `InferenceFailedError`.
        """
        found = self._detect_as_given(images_bgr)
        doubtful = [index for index, faces in enumerate(found) if _best_score(faces) < self._turn_below_score]
        for quarter_turns in (1, 2, 3) if doubtful else ():
            turned = self._detect_as_given([turn_image(images_bgr[index], quarter_turns) for index in doubtful])
            for index, faces in zip(doubtful, turned, strict=True):
                if _best_score(faces) > _best_score(found[index]):
                    height, width = images_bgr[index].shape[:2]
                    found[index] = [turn_back(face, quarter_turns, height=height, width=width) for face in faces]
        return found

    def refine_landmarks(self, images_bgr: Sequence[NDArray[np.uint8]], faces: Sequence[Detection]) -> list[Detection]:
        """One face per image, with its landmarks as the mean over the views, each plain and mirrored.

        A view that does not show a face counts as the landmarks it was given. Raises `InferenceFailedError`.
        """
        if not self._landmark_views:
            return list(faces)
        given = np.stack([face.landmarks for face in faces]).astype(np.float64) if faces else np.empty((0, 5, 2))
        to_template = np.array([similarity_to_template(landmarks) for landmarks in given]).reshape(-1, 2, 3)
        total = np.zeros_like(given)
        for view in self._landmark_views:
            to_canvas = place_faces(to_template, view)
            for batch in self._batches(range(len(faces)), 2 * view.side**2):
                rows = slice(batch[0], batch[-1] + 1)
                canvases = draw_faces(images_bgr[rows], to_canvas[rows], view.side)
                found = self._find_candidates(canvases.reshape(-1, view.side, view.side, 3))
                seen = landmarks_in_images(found, to_canvas[rows], view.side)
                total[rows] += np.where(np.isnan(seen), given[rows, None], seen).sum(axis=1)
        views = 2 * len(self._landmark_views)
        return [
            replace(face, landmarks=landmarks)
            for face, landmarks in zip(faces, (total / views).astype(np.float32), strict=True)
        ]

    def _detect_as_given(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in images_bgr]
        waiting: dict[int, list[int]] = defaultdict(list)
        for index, image_bgr in enumerate(images_bgr):
            height, width = image_bgr.shape[:2]
            waiting[choose_canvas(height, width, self._canvas_sides)].append(index)
        # From the largest canvas down, because what finds nothing goes on to the next smaller one.
        for canvas in range(len(self._canvas_sides) - 1, -1, -1):
            indices = waiting[canvas]
            for batch in self._batches(indices, self._canvas_sides[canvas] ** 2):
                answers = self._detect_on(self._canvas_sides[canvas], [images_bgr[index] for index in batch])
                for index, faces in zip(batch, answers, strict=True):
                    found[index] = faces
            waiting[canvas - 1] += [index for index in indices if not found[index]]
        return found

    def _batches(self, items: Sequence[_Item], pixels: int) -> Iterator[Sequence[_Item]]:
        """As many of them at once as a forward pass has room for, each of so many pixels."""
        count = max(1, self._pixels_per_pass // pixels)
        return (items[start : start + count] for start in range(0, len(items), count))

    def _detect_on(self, side: int, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        canvases = np.zeros((len(images_bgr), side, side, 3), np.uint8)
        fitted = [
            fit_to_canvas(image_bgr, canvas, upscale=self._upscale)
            for image_bgr, canvas in zip(images_bgr, canvases, strict=True)
        ]
        candidates = self._find_candidates(canvases).of_each(len(canvases))
        detections: list[list[Detection]] = []
        for found, image in zip(candidates, fitted, strict=True):
            scale_x, scale_y = self._scale_of(image)
            detections.append(to_detections(found, scale_x=scale_x, scale_y=scale_y, nms_iou=self._nms_iou))
        return detections

    def _find_candidates(self, canvases_bgr: NDArray[np.uint8]) -> BatchCandidates:
        """Of canvases (B, S, S, 3), their anchors above the threshold."""
        passes: list[tuple[int, BatchCandidates]] = []
        for start in range(0, len(canvases_bgr), self.images_per_pass):
            canvases = canvases_bgr[start : start + self.images_per_pass]
            passes.append((start, self._read_candidates(self._network.run(canvases), *canvases.shape[:2])))
        return join_batches(passes)

    def _scale_of(self, fitted: FittedImage) -> tuple[float, float]:
        """Canvas pixels per image pixel, across and down."""
        return fitted.scale_x, fitted.scale_y

    @abstractmethod
    def _read_candidates(self, outputs: Sequence[NDArray[np.generic]], batch: int, side: int) -> BatchCandidates:
        """The anchors above the threshold of a batch of canvases of `side` pixels, in pixels of their canvas.

        Raises `InferenceFailedError` for outputs of other shapes.
        """


@lru_cache
def cell_origins(side: int, stride: int, anchors: int) -> NDArray[np.float32]:
    """(side/stride squared * anchors, 2): x, y in pixels of the top left corner of each anchor's cell, row by row."""
    cells = side // stride
    rows, columns = np.divmod(np.repeat(np.arange(cells * cells), anchors), cells)
    origins = np.stack([columns, rows], axis=1).astype(np.float32) * stride
    origins.flags.writeable = False  # since it is kept for the next call
    return origins


def _best_score(faces: Sequence[Detection]) -> float:
    return max((face.score for face in faces), default=0.0)
