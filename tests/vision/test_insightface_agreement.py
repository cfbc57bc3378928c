"""Detection and alignment agree with the insightface package on real photographs, with the same weights."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from service.assembly import build_set_processor
from service.packs.installation import install_pack
from service.pipeline.set_keys import digest_sample
from service.policies import image_limits
from service.runtime.pack import load_pack
from service.settings import Device, Settings
from service.types import EmbeddedSample, FacePolicy, Sample, SetRequest, SetResult
from service.vision.decoding import decode_image

NAMES = ("group_six.jpg", "group_friends.jpg", "mask.jpg", "pose_left_face.jpeg", "blurred.jpg", "pixel_rotated_r0.jpg")


@pytest.mark.slow
def test_boxes_and_embeddings_agree(shared_data: Path, shared_models: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own dependencies warn
        from insightface.app import FaceAnalysis

    source = tmp_path / "weights"
    source.mkdir()
    for name in ("scrfd_500m.onnx", "w600k_mbf.onnx"):
        shutil.copy(shared_models / name, source / name)
    install_pack("buffalo_s", tmp_path / "packs", from_directory=source, accept_license=True)
    pack = load_pack(tmp_path / "packs" / "buffalo_s")
    processor, _ = build_set_processor(pack, Settings(device=Device.CPU))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = FaceAnalysis(name=str(source), providers=["CPUExecutionProvider"])
        peer.prepare(ctx_id=-1, det_size=(640, 640))
    try:
        for name in NAMES:
            data = (shared_data / "photos" / name).read_bytes()
            sample = Sample(digest_sample(data), data)
            request = SetRequest("r", (sample,), (), FacePolicy.LARGEST, pack.fingerprint, 30.0)
            (result,) = processor.process([request])
            assert isinstance(result, SetResult)
            ours = result.outcomes[0]
            assert isinstance(ours, EmbeddedSample), name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                faces = peer.get(decode_image(data, image_limits(Settings().limits)))
            theirs = min(faces, key=lambda face: np.abs(face.bbox - np.array(ours.detection.box)).max())
            assert np.abs(theirs.bbox - np.array(ours.detection.box)).max() <= 1.0, name
            assert float(theirs.normed_embedding @ ours.embedding.vector) >= 0.999, name
    finally:
        processor.close()
