"""The graphs that a GPU is given compute what the pack's own do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from service.runtime.device_graph import PIXELS, in_float16, with_pixel_input
from service.runtime.golden import HALF_DETECTOR_DRIFT, HALF_EMBEDDER_DRIFT, measure_drift, read_golden
from service.runtime.gpu import GpuNetwork
from service.runtime.manifest import DetectorSpec, InputRange
from service.runtime.onnx import CPU_PROVIDER, open_session
from service.runtime.pack import load_pack
from service.vision.pixel_range import PixelRange
from tests.packs.tiny_networks import recogniser
from tests.runtime.half_precision import rounding_everywhere


def answers(model: bytes, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=[CPU_PROVIDER])
    return session.run(None, {session.get_inputs()[0].name: images})


@given(
    order=st.sampled_from(["bgr", "rgb"]),
    mean=st.sampled_from([0.0, 127.5, 1.0]),
    std=st.sampled_from([1.0, 127.5, 128.0]),
    seed=st.integers(0, 100),
)
def test_the_graph_converts_pixels_as_numpy_does(order: str, mean: float, std: float, seed: int) -> None:
    model = recogniser()
    images = np.random.default_rng(seed).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    expected = answers(model, PixelRange(order, mean, std).to_input(images))
    found = answers(with_pixel_input(model, InputRange(color_order=order, mean=mean, std=std)), images)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_input_is_bytes_and_keeps_its_batch() -> None:
    [value] = onnx.load_model_from_string(
        with_pixel_input(recogniser(), InputRange(color_order="rgb", mean=127.5, std=127.5))
    ).graph.input
    assert value.name == PIXELS
    assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    assert sides[1:] == [112, 112, 3]
    assert sides[0] == 0  # Any.


def test_half_precision_keeps_the_types_outside() -> None:
    graph = onnx.load_model_from_string(in_float16(recogniser())).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}


def times_thousand_and_back() -> bytes:
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "z")]
    nodes = [helper.make_node("Mul", ["x", "up"], ["y"]), helper.make_node("Mul", ["y", "down"], ["z"])]
    weights = [numpy_helper.from_array(np.array([value], np.float32), name) for name, value in FACTORS.items()]
    graph = helper.make_graph(nodes, "there_and_back", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


FACTORS = {"up": 1000.0, "down": 0.001}


def test_on_a_cpu_only_the_stand_in_overflows_as_a_gpu_does() -> None:
    half = in_float16(times_thousand_and_back())
    too_large = np.array([100], np.float32)  # Times 1000 it is beyond float16.
    assert np.isfinite(answers(half, too_large)[0]).all()
    assert np.isinf(answers(rounding_everywhere(half), too_large)[0]).all()
    [rounded] = answers(rounding_everywhere(half), np.array([1 / 3], np.float32))
    expected = np.float16(np.float32(np.float16(1 / 3)) * 1000) * np.float32(np.float16(0.001))
    assert rounded == np.float16(expected)


@pytest.mark.parametrize("name", ["opencv-sface", "buffalo_s"])
def test_the_shipped_packs_meet_their_golden_answers_in_float16(name: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue({"opencv-sface": "default_pack_path", "buffalo_s": "zoo_pack_path"}[name])
    pack = load_pack(directory)
    golden = read_golden(directory)
    assert golden is not None
    for spec in (pack.manifest.detector, pack.manifest.embedder):
        model = with_pixel_input(rounding_everywhere(in_float16(pack.read_model(spec))), spec.input_range)
        network = GpuNetwork(open_session(model, spec.file, [CPU_PROVIDER]), spec.file, "float16")
        drift = measure_drift(network, golden.answers[spec.sha256])
        assert 0 < drift <= (HALF_DETECTOR_DRIFT if isinstance(spec, DetectorSpec) else HALF_EMBEDDER_DRIFT)
