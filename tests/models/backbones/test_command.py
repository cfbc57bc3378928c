from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.backbones import export
from models.backbones.checkpoints import build_network
from models.backbones.command import main
from models.backbones.iresnet import Family, IResNet
from service.runtime.onnx import load_session
from service.runtime.pack import load_pack
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from tests.models.backbones.published import adaface_shapes, arcface_shapes, random_state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "colours"), [(random_state(adaface_shapes(18)), "bgr"), (random_state(arcface_shapes(18)), "rgb")]
)
def test_a_checkpoint_becomes_a_pack_that_embeds_as_the_network_does(
    default_pack_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, torch.Tensor],
    colours: str,
) -> None:
    torch.save(state, tmp_path / "backbone.pt")
    arguments = ["--checkpoint", str(tmp_path / "backbone.pt"), "--detector-of", str(default_pack_path)]
    main([*arguments, "--name", "converted", "--license", "MIT", "--packs", str(tmp_path / "packs")])
    pack = load_pack(tmp_path / "packs" / "converted")
    assert pack.fingerprint in capsys.readouterr().out
    assert pack.calibration is None
    assert not pack.manifest.license.commercial_use
    spec = pack.manifest.embedder
    assert spec.input_range.color_order == colours
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    session = load_session(pack.model_path(spec), threads=0)
    pixel_range = PixelRange(color_order=spec.input_range.color_order, mean=127.5, std=127.5)
    embeddings = OnnxFaceEmbedder(SessionOnPixels(session, pixel_range), width=512, batch_size=2).embed(faces)
    ordered = faces if colours == "bgr" else np.stack([cv2.cvtColor(face, cv2.COLOR_BGR2RGB) for face in faces])
    with torch.inference_mode():
        expected = build_network(state)(
            torch.from_numpy(ordered.transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1.0))
        )
    for embedding, feature in zip(embeddings, expected.numpy(), strict=True):
        assert embedding is not None
        assert embedding.norm == pytest.approx(np.linalg.norm(feature), rel=1e-4)
        assert float(embedding.vector @ feature) / embedding.norm > 0.9999


def test_a_file_that_is_none_installs_nothing(
    default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.pt").write_bytes(b"odd")
    arguments = ["--checkpoint", str(tmp_path / "odd.pt"), "--detector-of", str(default_pack_path)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--name", "odd", "--packs", str(tmp_path / "packs")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("coreface-convert: ")
    assert not list(tmp_path.glob("packs/*"))


def test_a_departure_from_pytorch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_lowest_cosine", lambda network, path: float("nan"))
    with pytest.raises(ValueError, match="departs from PyTorch"):
        export.export_backbone(IResNet(18, Family.ADAFACE), tmp_path / "embedder.onnx")
