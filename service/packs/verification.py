"""Does an installed pack do what its manifest says? Digests first, then every network once, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.errors import InferenceFailedError, PackError
from service.runtime.manifest import InputRange
from service.runtime.onnx import load_model
from service.runtime.pack import Pack, load_pack
from service.settings import Device
from service.types import Embedding
from service.vision.aggregation import OnnxSetAggregator
from service.vision.alignment import ALIGNED_SIDE
from service.vision.detection import CanvasDetector
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.pixel_range import PixelRange
from service.vision.scrfd import ScrfdDetector
from service.vision.yunet import YuNetDetector

_SET_SIZES = (1, 2, 5)


def verify_pack(directory: Path, calibration: Path | None = None) -> Pack:
    """The pack in `directory`, every file's digest checked and every network run once against its contract.

    Raises `PackNotInstalledError`, `PackError`.
    """
    pack = load_pack(directory, calibration)
    try:
        _run_detector(pack)
        _run_embedder(pack)
        _run_aggregator(pack)
    except InferenceFailedError as error:
        raise PackError(f"Pack {pack.name!r} does not meet its manifest: {error.detail}") from error
    return pack


def _run_detector(pack: Pack) -> None:
    spec = pack.manifest.detector
    detectors: dict[str, type[CanvasDetector]] = {"yunet": YuNetDetector, "scrfd": ScrfdDetector}
    detector = detectors[spec.algorithm](
        load_model(pack, spec, device=Device.CPU, threads=0),
        pixel_range=_pixel_range(spec.input_range),
        canvas_sides=spec.canvas_sides,
        upscale=spec.upscale,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
    )
    detector.detect([np.zeros((side, side, 3), np.uint8) for side in spec.canvas_sides])


def _run_embedder(pack: Pack) -> None:
    spec = pack.manifest.embedder
    embedder = OnnxFaceEmbedder(
        load_model(pack, spec, device=Device.CPU, threads=0),
        width=spec.width,
        pixel_range=_pixel_range(spec.input_range),
        batch_size=2,
    )
    faces = np.full((2, ALIGNED_SIDE, ALIGNED_SIDE, 3), 128, np.uint8)
    if None in embedder.embed(faces):
        raise InferenceFailedError("The embedder answers nothing usable on a grey face.")


def _run_aggregator(pack: Pack) -> None:
    spec = pack.manifest.aggregator
    aggregator = OnnxSetAggregator(load_model(pack, spec, device=Device.CPU, threads=0))
    width = pack.manifest.embedder.width
    # One axis per sample: unit vectors, and no two alike.
    embeddings = [Embedding(np.eye(1, width, axis, np.float32)[0], 10.0 + axis) for axis in range(max(_SET_SIZES))]
    for aggregation in aggregator.aggregate([embeddings[:size] for size in _SET_SIZES]):
        if len(aggregation.core_indices) > spec.core_size:
            raise InferenceFailedError(f"The aggregator picks more than {spec.core_size} core samples.")


def _pixel_range(spec: InputRange) -> PixelRange:
    return PixelRange(color_order=spec.color_order, mean=spec.mean, std=spec.std)
