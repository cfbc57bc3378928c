from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import quantisation
from service.packs.installation import install_pack
from service.runtime.pack import Pack
from tests.packs.conftest import aggregator, definitions, packs_path, wheel  # noqa: F401


@pytest.fixture
def pack(definitions: Path, packs_path: Path, wheel: Path) -> Pack:  # noqa: F811
    return install_pack("tiny", packs_path, from_directory=wheel.parent)


def test_every_engine_that_takes_the_network_is_timed(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = object.__new__(quantisation.Learning)
    learning.faces = np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), dtype=np.uint8)
    learning.canvases = np.random.default_rng(1).integers(0, 256, (8, 320, 320, 3), dtype=np.uint8)
    found = quantisation.measure_speed(pack, learning, rounds=1)
    assert set(found) == {"embedder.onnx", "detector.onnx"}
    assert {"ONNX Runtime float32", "OpenVINO bfloat16", "OpenVINO int8"} <= set(found["embedder.onnx"])
    assert all(taken > 0 for engines in found.values() for taken in engines.values())
