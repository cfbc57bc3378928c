"""Detection and alignment agree with the insightface package on real photographs, with the same weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.assembly import build_detector, build_embedder
from service.policies import image_limits
from service.protocols import FaceDetector, FaceEmbedder
from service.runtime.networks import open_network
from service.runtime.pack import load_pack
from service.settings import Device, Precision, Runtime, Settings
from service.vision.alignment import align_face
from service.vision.decoding import decode_image

FACES = {
    "blurred.jpg": 1,
    "crowd.jpg": 116,
    "exif_orientation_6.jpeg": 1,
    "group_friends.jpg": 3,
    "group_six.jpg": 6,
    "group_twenty_nine.png": 29,
    "mask.jpg": 1,
    "no_face_landscape.jpg": 0,
    "no_face_small.png": 0,
    "pixel_rotated_r0.jpg": 1,
    "pixel_rotated_r180.jpg": 0,
    "pixel_rotated_r270.jpg": 1,
    "pixel_rotated_r90.jpg": 1,
    "pose_left_face.jpeg": 1,
    "pose_lower_face.jpeg": 1,
    "pose_right_wryneck.png": 1,
    "pose_rise_face.jpeg": 1,
    "rgba_png_named.jpg": 1,
}
"""Every photograph that decodes, and the faces these weights find in it."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("insightface")]


@pytest.fixture(scope="module", params=[Runtime.ONNXRUNTIME, Runtime.OPENVINO])
def ours(zoo_pack_path: Path, request: pytest.FixtureRequest) -> tuple[FaceDetector, FaceEmbedder]:
    settings = Settings(device=Device.CPU, runtime=request.param, precision=Precision.FLOAT32)
    pack = load_pack(zoo_pack_path)
    detector, embedder = pack.manifest.detector, pack.manifest.embedder
    return (
        build_detector(detector, open_network(pack, detector, settings)),
        build_embedder(embedder, open_network(pack, embedder, settings), batch_size=32),
    )


@pytest.fixture(scope="module")
def peer(zoo_source_path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own dependencies warn
        from insightface.app import FaceAnalysis

        analysis = FaceAnalysis(name=str(zoo_source_path), providers=["CPUExecutionProvider"])
        analysis.prepare(ctx_id=-1, det_size=(640, 640))
    return analysis


def test_every_photograph_is_named(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "photos").iterdir()} == {*FACES, "raw_not_an_image.nv21"}


@pytest.mark.parametrize(("name", "count"), FACES.items())
def test_boxes_and_embeddings_agree(
    shared_data: Path, ours: tuple[FaceDetector, FaceEmbedder], peer: Any, name: str, count: int
) -> None:
    detector, embedder = ours
    image_bgr = decode_image((shared_data / "photos" / name).read_bytes(), image_limits(Settings().limits))
    (faces,) = detector.detect([image_bgr])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer.get(image_bgr)
    assert len(faces) == len(theirs) == count
    if count == 0:
        return
    boxes = np.array([face.box for face in faces])
    distances = np.abs(boxes[:, None] - np.array([face.bbox for face in theirs])[None]).max(axis=2)
    partners = distances.argmin(axis=1)
    assert sorted(partners) == list(range(count))
    assert distances.min(axis=1).max() <= 1.0
    aligned = np.stack([align_face(image_bgr, face.landmarks) for face in faces])
    for embedding, partner in zip(embedder.embed(aligned), partners, strict=True):
        assert embedding is not None
        assert float(theirs[partner].normed_embedding @ embedding.vector) >= 0.999
