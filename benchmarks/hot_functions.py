"""The pure Python and numpy functions that every picture or request passes through, ready to be called.

`python -m benchmarks.hot_functions NAME COUNT` calls one of them so many times; `benchmarks.instructions` counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import repeat
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np

from service.pipeline.set_keys import digest_sample
from service.policies import image_limits
from service.settings import Settings
from service.vision.alignment import align_face, arcface_template, similarity_to_template
from service.vision.candidates import BatchCandidates, Candidates, to_detections
from service.vision.canvas import fit_to_canvas
from service.vision.landmark_views import LandmarkView, draw_faces, landmarks_in_images, place_faces
from service.vision.pixel_range import PixelRange
from service.vision.quality import measure_face
from service.vision.sniffing import sniff_image
from service.vision.yunet import YuNetDetector

_RNG = np.random.default_rng(0)


def _image(side: int) -> np.ndarray:
    coarse = _RNG.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def _candidates(count: int) -> Candidates:
    corners = _RNG.uniform(0, 500, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 100], axis=1)
    return Candidates(_RNG.uniform(0.7, 1, count).astype(np.float32), boxes, boxes[:, None, :2].repeat(5, axis=1))


def _yunet_outputs(batch: int, side: int) -> list[np.ndarray]:
    cells = [(side // stride) ** 2 for stride in (8, 16, 32)]
    outputs = [
        _RNG.uniform(0, 0.7, (batch, count, width)).astype(np.float32) for width in (1, 1, 4, 10) for count in cells
    ]
    outputs[0][:, :4] = outputs[3][:, :4] = 0.95
    return outputs


def hot_functions() -> dict[str, Callable[[], object]]:
    """By name."""
    cv2.setNumThreads(1)
    image = _image(256)
    landmarks = (arcface_template() * 0.9 + 70).astype(np.float32)
    aligned = align_face(image, landmarks)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    limits = image_limits(Settings().limits)
    faces = np.stack([aligned] * 4)
    pixel_range = PixelRange("rgb", 127.5, 127.5)
    candidates = _candidates(40)
    outputs = _yunet_outputs(8, 320)
    network = cast(Any, SimpleNamespace())
    yunet = YuNetDetector(network, canvas_sides=(320,), upscale=False, score_threshold=0.7, nms_iou=0.3)
    view = LandmarkView(128, 28.0)
    to_canvas = place_faces(np.stack([similarity_to_template(landmarks)] * 4), view)
    found = BatchCandidates(_candidates(16), np.arange(16) % 8)
    canvas = np.zeros((320, 320, 3), np.uint8)
    return {
        "PixelRange.to_input, 4 faces": lambda: pixel_range.to_input(faces),
        "YuNetDetector, candidates of 8 canvases": lambda: yunet._read_candidates(outputs, 8, 320),
        "to_detections, 40 candidates": lambda: to_detections(candidates, scale_x=1.0, scale_y=1.0, nms_iou=0.3),
        "fit_to_canvas": lambda: fit_to_canvas(image, canvas, upscale=False),
        "draw_faces, 4 faces at 128": lambda: draw_faces([image] * 4, to_canvas, 128),
        "landmarks_in_images, 4 faces": lambda: landmarks_in_images(found, to_canvas, 128),
        "similarity_to_template": lambda: similarity_to_template(landmarks),
        "align_face": lambda: align_face(image, landmarks),
        "measure_face": lambda: measure_face(aligned, landmarks),
        "sniff_image": lambda: sniff_image(jpeg, limits),
        "digest_sample": lambda: digest_sample(jpeg),
    }


def main() -> None:
    function = hot_functions()[sys.argv[1]]
    for _ in repeat(None, int(sys.argv[2])):
        function()


if __name__ == "__main__":
    main()
