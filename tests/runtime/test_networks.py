"""What runs a network: by the settings, by what is installed, and by whether it answers as it should."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.errors import DeviceUnavailableError, DriftError
from service.packs.definitions import definitions_path
from service.packs.installation import install_pack
from service.runtime import networks, openvino
from service.runtime.golden import GoldenAnswers, read_golden, write_golden
from service.runtime.gpu_providers import TENSORRT_PROVIDER
from service.runtime.networks import open_network
from service.runtime.onnx import CPU_PROVIDER
from service.runtime.pack import GOLDEN_FILE, Pack, load_pack
from service.settings import Device, Settings
from service.vision.scrfd import ScrfdDetector
from service.vision.yunet import YuNetDetector
from tests.packs.conftest import aggregator, definitions, packs_path, wheel  # noqa: F401
from tests.runtime.gpus import StubSession, gpu  # noqa: F401

FLOAT32, HALF = "OpenVINO CPU float32", "OpenVINO CPU bfloat16"


@pytest.fixture
def pack(definitions: Path, packs_path: Path, wheel: Path) -> Pack:  # noqa: F811
    return install_pack("tiny", packs_path, from_directory=wheel.parent)


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that has it; OpenVINO computes the same, if slowly, where it has not."""
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: True)


def provider(pack: Pack, **values: str) -> str:
    return open_network(pack, pack.manifest.embedder, Settings(device=Device.CPU, **values)).provider


def test_half_where_it_is_to_be_had(pack: Pack) -> None:
    assert provider(pack) == HALF
    assert provider(pack, precision="half") == HALF
    assert provider(pack, precision="half", runtime="openvino") == HALF


def test_float32_on_what_was_asked_for(pack: Pack) -> None:
    assert provider(pack, precision="float32", runtime="openvino") == FLOAT32
    assert provider(pack, precision="float32", runtime="onnxruntime") == CPU_PROVIDER
    assert provider(pack, runtime="onnxruntime") == CPU_PROVIDER


@pytest.mark.parametrize(("operator", "expected"), [(b"Gemm", FLOAT32), (b"PRelu", CPU_PROVIDER)])
def test_float32_on_what_is_faster(pack: Pack, operator: bytes, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack was built without PRelu."""
    monkeypatch.setattr(networks, "_SLOW_IN_ONNX_RUNTIME", operator)
    assert provider(pack, precision="float32") == expected


def test_a_cpu_without_bfloat16(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    assert provider(pack) == CPU_PROVIDER
    with pytest.raises(DeviceUnavailableError, match="does not compute in bfloat16"):
        provider(pack, precision="half")


def test_openvino_is_not_installed(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_is_installed", lambda: False)
    assert provider(pack) == CPU_PROVIDER
    with pytest.raises(DeviceUnavailableError, match=r"coreface\[cpu\]"):
        provider(pack, runtime="openvino")
    with pytest.raises(DeviceUnavailableError, match="not installed"):
        provider(pack, precision="half")


def test_onnx_runtime_has_no_half(pack: Pack) -> None:
    with pytest.raises(DeviceUnavailableError, match="COREFACE_PRECISION=half"):
        provider(pack, precision="half", runtime="onnxruntime")


def reasons_for_float32(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [line["reason"] for line in logs if line["event"] == "network_in_float32"]


def test_without_golden_answers_nothing_is_rounded(pack: Pack) -> None:
    (pack.directory / GOLDEN_FILE).unlink()
    with structlog.testing.capture_logs() as logs:
        assert provider(pack) == CPU_PROVIDER
    assert all("install the pack again" in reason for reason in reasons_for_float32(logs))
    assert reasons_for_float32(logs)


def bend_golden(pack: Pack, factor: float) -> None:
    golden = read_golden(pack.directory)
    assert golden is not None
    bent = {
        sha256: answer.model_copy(
            update={"outputs": tuple(tuple(factor * value for value in values) for values in answer.outputs)}
        )
        for sha256, answer in golden.answers.items()
    }
    write_golden(GoldenAnswers(answers=bent), pack.directory)


def test_a_machine_that_computes_something_else_does_not_start(pack: Pack) -> None:
    bend_golden(pack, 1.5)
    for values in ({}, {"precision": "half"}, {"runtime": "onnxruntime"}, {"precision": "float32"}):
        with pytest.raises(DriftError, match=r"answers the golden images with a deviation of 0\.3"):
            provider(pack, **values)


def test_too_coarse_a_half_falls_back_to_float32(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "HALF_EMBEDDER_DRIFT", 1e-9)
    with structlog.testing.capture_logs() as logs:
        assert provider(pack) == CPU_PROVIDER
    (reason,) = reasons_for_float32(logs)
    assert reason.startswith("embedder.onnx on OpenVINO CPU bfloat16 answers")
    with pytest.raises(DriftError):
        provider(pack, precision="half")


@pytest.mark.parametrize("name", ["opencv-sface", "buffalo_s"])
def test_the_golden_answers_of_the_shipped_packs_are_kept(name: str, request: pytest.FixtureRequest) -> None:
    """Every runtime and precision meets them here: opening checks that."""
    fixture = {"opencv-sface": "default_pack_path", "buffalo_s": "zoo_pack_path"}[name]
    shipped = load_pack(request.getfixturevalue(fixture))
    assert read_golden(shipped.directory) == read_golden(definitions_path() / name)
    for spec in (shipped.manifest.detector, shipped.manifest.embedder):
        for runtime, precision in (("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "half")):
            open_network(shipped, spec, Settings(device=Device.CPU, runtime=runtime, precision=precision))


def test_on_a_cpu_the_library_of_graphs_is_not_loaded() -> None:
    """It takes 12 MB and a tenth of a second of every worker."""
    program = "import sys, service.engine.worker; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestOnAGpu:
    """The settings' device is `auto` where it is not named."""

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, "CUDAExecutionProvider float16"),
            ({"device": "cuda"}, "CUDAExecutionProvider float16"),
            ({"precision": "float32"}, "CUDAExecutionProvider float32"),
            ({"runtime": "onnxruntime"}, "CUDAExecutionProvider float16"),
            ({"runtime": "tensorrt", "precision": "half"}, "TensorrtExecutionProvider float16"),
        ],
    )
    def test_it_is_used(
        self,
        pack: Pack,
        gpu: type[StubSession],  # noqa: F811
        tmp_path: Path,
        values: dict[str, str],
        expected: str,
    ) -> None:
        settings = Settings(state_dir=tmp_path, **values)
        for spec in (pack.manifest.detector, pack.manifest.embedder):
            assert open_network(pack, spec, settings).provider == expected
        assert not networks.runs_on_cpu(settings)
        assert networks.parallel_passes(settings) == 1

    def test_tensorrt_builds_for_what_will_be_asked_of_it(
        self,
        pack: Pack,
        gpu: type[StubSession],  # noqa: F811
        tmp_path: Path,
    ) -> None:
        settings = Settings(state_dir=tmp_path, runtime="tensorrt", precision="float32", batch_size=48)
        largest = {}
        for spec in (pack.manifest.detector, pack.manifest.embedder):
            open_network(pack, spec, settings)
            [options] = [given for name, given in gpu.opened[-1][:-1] if name == TENSORRT_PROVIDER]
            largest[spec.file] = options["trt_profile_max_shapes"].partition(":")[2]
        assert largest["embedder.onnx"] == "64x112x112x3"
        images, side, *_ = map(int, largest["detector.onnx"].split("x"))
        assert images == max(YuNetDetector.images_per_pass, ScrfdDetector.images_per_pass)
        assert side == max(pack.manifest.detector.canvas_sides)

    def test_openvino_is_of_the_cpu(self, pack: Pack, gpu: type[StubSession]) -> None:  # noqa: F811
        with pytest.raises(DeviceUnavailableError, match="COREFACE_DEVICE=cpu only"):
            open_network(pack, pack.manifest.embedder, Settings(runtime="openvino"))
        assert provider(pack, runtime="openvino", precision="float32") == FLOAT32

    def test_a_gpu_that_computes_something_else_does_not_start(self, pack: Pack, gpu: type[StubSession]) -> None:  # noqa: F811
        bend_golden(pack, 1.5)
        for precision in ("auto", "half", "float32"):
            with pytest.raises(DriftError, match="CUDAExecutionProvider"):
                open_network(pack, pack.manifest.embedder, Settings(precision=precision))

    def test_too_coarse_a_half_falls_back_to_float32(
        self,
        pack: Pack,
        gpu: type[StubSession],  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(networks, "HALF_EMBEDDER_DRIFT", 1e-9)
        assert open_network(pack, pack.manifest.embedder, Settings()).provider == "CUDAExecutionProvider float32"

    def test_one_that_does_not_compute_is_passed_over_or_refused(
        self,
        pack: Pack,
        gpu: type[StubSession],  # noqa: F811
    ) -> None:
        gpu.working = ()
        assert open_network(pack, pack.manifest.embedder, Settings()).provider == HALF
        with pytest.raises(DeviceUnavailableError, match="set to cuda, but CUDAExecutionProvider does not run"):
            open_network(pack, pack.manifest.embedder, Settings(device="cuda"))
        with pytest.raises(DeviceUnavailableError, match="COREFACE_RUNTIME=tensorrt needs a GPU"):
            open_network(pack, pack.manifest.embedder, Settings(runtime="tensorrt"))
