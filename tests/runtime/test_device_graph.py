"""The graphs that a GPU is given compute what the pack's own do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.runtime.device_graph import PIXELS, in_float16, with_pixel_input
from service.runtime.golden import HALF_DETECTOR_DRIFT, HALF_EMBEDDER_DRIFT, measure_drift, read_golden
from service.runtime.gpu import GpuNetwork
from service.runtime.manifest import DetectorSpec, InputRange
from service.runtime.onnx import CPU_PROVIDER, open_session
from service.runtime.pack import load_pack
from service.vision.pixel_range import PixelRange
from tests.packs.tiny_networks import recogniser


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


@pytest.mark.parametrize("name", ["opencv-sface", "buffalo_s"])
def test_the_shipped_packs_meet_their_golden_answers_in_float16(name: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue({"opencv-sface": "default_pack_path", "buffalo_s": "zoo_pack_path"}[name])
    pack = load_pack(directory)
    golden = read_golden(directory)
    assert golden is not None
    for spec in (pack.manifest.detector, pack.manifest.embedder):
        model = with_pixel_input(in_float16(pack.read_model(spec)), spec.input_range)
        network = GpuNetwork(open_session(model, spec.file, [CPU_PROVIDER]), spec.file, "float16")
        drift = measure_drift(network, golden.answers[spec.sha256])
        assert 0 < drift <= (HALF_DETECTOR_DRIFT if isinstance(spec, DetectorSpec) else HALF_EMBEDDER_DRIFT)
