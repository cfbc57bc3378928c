"""The benchmark of a GPU, with sessions on the CPU that say they are on one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import gpu as benchmark
from service.packs.installation import install_pack
from service.runtime.pack import Pack
from service.settings import Settings
from tests.packs.conftest import aggregator, definitions, packs_path, wheel  # noqa: F401
from tests.runtime.gpus import StubSession, gpu  # noqa: F401


@pytest.fixture
def pack(definitions: Path, packs_path: Path, wheel: Path) -> Pack:  # noqa: F811
    return install_pack("tiny", packs_path, from_directory=wheel.parent)


def test_every_network_is_timed_by_batch(pack: Pack, gpu: type[StubSession]) -> None:  # noqa: F811
    found = benchmark.measure(pack, Settings(device="cuda", precision="float32"), 1)
    assert any(name.startswith("embedder.onnx 112 on CUDAExecutionProvider float32") for name in found)
    assert any(name.startswith("detector.onnx") for name in found)
    for batches in found.values():
        assert all(taken > 0 for taken in batches.values())


def test_without_a_gpu_it_says_so(
    gpu: type[StubSession],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gpu.working = ()
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 1
    assert "No GPU computes here" in capsys.readouterr().err
