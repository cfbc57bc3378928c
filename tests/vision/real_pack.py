"""The networks of an installed pack, put together as the service does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import SampleRejectedError
from service.protocols import FaceDetector, FaceEmbedder, InferenceSession
from service.runtime.manifest import InputRange
from service.runtime.onnx import load_session
from service.runtime.pack import load_pack
from service.settings import Device
from service.types import Embedding, FacePolicy
from service.vision.alignment import align_face
from service.vision.decoding import decode_image
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.face_selection import choose_face
from service.vision.pixel_range import PixelRange
from service.vision.scrfd import ScrfdDetector
from service.vision.yunet import YuNetDetector
from tests.vision.pictures import LIMITS


@dataclass(frozen=True, slots=True)
class RealPack:
    """Detector and embedder of one pack, and their sessions."""

    detector: FaceDetector
    embedder: FaceEmbedder
    detector_session: InferenceSession
    embedder_session: InferenceSession

    def faces(self, files: list[bytes]) -> list[NDArray[np.uint8] | None]:
        """The aligned face of each file; None where there is none."""
        images = [decode_image(data, LIMITS) for data in files]
        aligned: list[NDArray[np.uint8] | None] = []
        for image_bgr, detections in zip(images, self.detector.detect(images), strict=True):
            try:
                chosen = choose_face(detections, FacePolicy.LARGEST, 8.0)
            except SampleRejectedError:
                aligned.append(None)
            else:
                aligned.append(align_face(image_bgr, chosen.landmarks))
        return aligned

    def embed(self, files: list[bytes]) -> list[Embedding | None]:
        """The embedding of each file; None where there is no face."""
        aligned = self.faces(files)
        embeddings = iter(self.embedder.embed(np.stack([face for face in aligned if face is not None])))
        return [None if face is None else next(embeddings) for face in aligned]


def open_pack(directory: Path) -> RealPack:
    pack = load_pack(directory)
    spec, embedder_spec = pack.manifest.detector, pack.manifest.embedder
    detector_session = load_session(pack.model_path(spec), device=Device.CPU, threads=0)
    embedder_session = load_session(pack.model_path(embedder_spec), device=Device.CPU, threads=0)
    detector = {"yunet": YuNetDetector, "scrfd": ScrfdDetector}[spec.algorithm](
        detector_session,
        pixel_range=_pixel_range(spec.input_range),
        canvas_sides=spec.canvas_sides,
        upscale=spec.upscale,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
        turn_below_score=spec.turn_below_score,
    )
    embedder = OnnxFaceEmbedder(
        embedder_session,
        width=embedder_spec.width,
        pixel_range=_pixel_range(embedder_spec.input_range),
        batch_size=8,
    )
    return RealPack(detector, embedder, detector_session, embedder_session)


def cosine(left: Embedding | None, right: Embedding | None) -> float:
    assert left is not None
    assert right is not None
    return float(left.vector.astype(np.float64) @ right.vector.astype(np.float64))


def _pixel_range(spec: InputRange) -> PixelRange:
    return PixelRange(color_order=spec.color_order, mean=spec.mean, std=spec.std)
