"""Sessions: files that stand alone, errors of one kind."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.errors import InferenceFailedError, OutOfMemoryError, PackError
from service.runtime.onnx import (
    CPU_PROVIDER,
    OnnxSession,
    load_model,
    load_session,
)
from service.runtime.pack import load_pack
from tests.runtime.networks import doubling_network, with_external_data, write_network
from tests.runtime.packs import manifest_values, write_pack


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "doubling.onnx", doubling_network())


def test_runs_on_the_cpu(network: Path) -> None:
    session = load_session(network, threads=1)
    assert session.provider == CPU_PROVIDER
    assert session.input_names == ("values",)
    [doubled] = session.run({"values": np.ones((3, 4), np.float32)})
    np.testing.assert_array_equal(doubled, np.full((3, 4), 2, np.float32))


def test_one_session_serves_many_threads(network: Path) -> None:
    session = load_session(network, threads=2)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            [doubled] = session.run({"values": np.full((2, 4), number, np.float32)})
            if not (doubled == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"other": np.ones((1, 4), np.float32)},
        {"values": np.ones((1, 5), np.float32)},
        {"values": np.ones((1, 4), np.float64)},
    ],
    ids=["none", "another name", "another width", "another type"],
)
def test_inputs_that_do_not_fit_are_a_failed_inference(network: Path, inputs: dict[str, np.ndarray]) -> None:
    session = load_session(network, threads=1)
    with pytest.raises(InferenceFailedError, match=r"doubling\.onnx"):
        session.run(inputs)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.full(4, 2, np.float32).tobytes())
    path = write_network(tmp_path / "outside.onnx", with_external_data(doubling_network(), "weights.bin"))
    with pytest.raises(PackError, match="external data"):
        load_session(path, threads=1)


def test_a_network_of_a_pack_is_run_from_the_bytes_that_were_checked(tmp_path: Path) -> None:
    content = doubling_network().SerializeToString()
    values = manifest_values()
    values["embedder"]["sha256"] = hashlib.sha256(content).hexdigest()
    write_pack(tmp_path, values)
    (tmp_path / "embedder.onnx").write_bytes(content)
    pack = load_pack(tmp_path)
    session = load_model(pack, pack.manifest.embedder, threads=1)
    assert session.input_names == ("values",)
    other = bytearray(content)
    other[-1] ^= 1
    (tmp_path / "embedder.onnx").write_bytes(other)
    with pytest.raises(PackError, match="sha256"):
        load_model(pack, pack.manifest.embedder, threads=1)


def test_external_data_of_a_pack_is_refused_whatever_its_digest(tmp_path: Path) -> None:
    content = with_external_data(doubling_network(), "weights.bin").SerializeToString()
    values = manifest_values()
    values["embedder"]["sha256"] = hashlib.sha256(content).hexdigest()
    write_pack(tmp_path, values)
    (tmp_path / "embedder.onnx").write_bytes(content)
    (tmp_path / "weights.bin").write_bytes(np.full(4, 2, np.float32).tobytes())
    pack = load_pack(tmp_path)
    with pytest.raises(PackError, match="external data"):
        load_model(pack, pack.manifest.embedder, threads=1)


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"not a network", b"\x08\x0a"])
def test_what_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(PackError):
        load_session(path, threads=1)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError):
        load_session(tmp_path / "absent.onnx", threads=1)


@pytest.mark.parametrize(
    "told",
    [
        onnxruntime.capi.onnxruntime_pybind11_state.Fail(
            "[ONNXRuntimeError] : 1 : FAIL : BFCArena::AllocateRawInternal Failed to allocate memory for a buffer"
        ),
        onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("CUDA failure 2: out of memory"),
        onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("std::bad_alloc"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_has_an_error_of_its_own(network: Path, told: Exception) -> None:
    class Exhausted:
        def __init__(self, session: onnxruntime.InferenceSession) -> None:
            self.get_inputs, self.get_providers = session.get_inputs, session.get_providers

        def run(self, *_arguments: object) -> None:
            raise told

    session = OnnxSession(Exhausted(onnxruntime.InferenceSession(network.read_bytes())), "network.onnx")
    with pytest.raises(OutOfMemoryError, match=r"network\.onnx"):
        session.run({})
