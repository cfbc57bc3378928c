"""On the default pack, photographs so large that they are decoded at half their sides."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.assembly import build_local_engine
from service.engine.local import running
from service.pipeline.set_keys import digest_sample
from service.policies import image_limits
from service.runtime.pack import load_pack
from service.settings import Device, Limits, Settings
from service.types import EmbeddedFace, EmbeddedSample, FacePolicy, Sample, SetRequest
from service.vision.sniffing import sniff_image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("neighbours")]

NAMES = ("Betty_Williams", "Helen_Alvare", "Matthew_Vaughan")
SIDE = 4_850


def enlarged(path: Path) -> bytes:
    """A progressive JPEG of 23.5 megapixels."""
    image = cv2.resize(cv2.imread(str(path)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    flags = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return bytes(cv2.imencode(".jpg", image, flags)[1].tobytes())


def embed(pack_path: Path, samples: list[bytes], limits: Limits) -> dict[str, EmbeddedFace]:
    pack = load_pack(pack_path)
    settings = Settings(device=Device.CPU, limits=limits)
    engine = build_local_engine(pack, settings)
    sent = tuple(sorted((Sample(digest_sample(data), data) for data in samples), key=lambda sample: sample.digest))
    request = SetRequest("large", sent, (), FacePolicy.LARGEST, pack.fingerprint, 60.0)

    async def run() -> dict[str, EmbeddedFace]:
        async with running(engine):
            outcomes = (await engine.create(request)).outcomes
        return {outcome.digest: outcome.face for outcome in outcomes if isinstance(outcome, EmbeddedSample)}

    return asyncio.run(run())


def test_half_the_sides_give_the_template_of_the_whole_picture(shared_data: Path, default_pack_path: Path) -> None:
    samples = [enlarged(shared_data / "lfw" / name / f"{name}_0001.jpg") for name in NAMES]
    tight = Limits(max_decode_ms=200.0)
    assert {sniff_image(data, image_limits(tight)).scale for data in samples} == {2}
    half, whole = (embed(default_pack_path, samples, limits) for limits in (tight, Limits(max_decode_ms=10_000.0)))
    assert len(half) == len(whole) == len(NAMES)
    for digest, face in half.items():
        full = whole[digest]
        assert float(face.embedding.vector @ full.embedding.vector) >= 0.999
        assert np.abs(np.subtract(face.detection.box, full.detection.box)).max() < 0.01 * SIDE
        assert np.abs(face.detection.landmarks - full.detection.landmarks).max() < 0.005 * SIDE
