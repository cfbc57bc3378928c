from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models.export.quantisation import quantise, with_plain_prelu
from service.runtime.pack import load_pack
from service.vision.pixel_range import PixelRange
from tests.packs.tiny_networks import recogniser


def run(model: bytes, network_input: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: network_input})[0]


def faces(count: int) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)
    return PixelRange("rgb", 127.5, 127.5).to_input(images)


def test_an_int8_copy_answers_nearly_the_same() -> None:
    model = recogniser()
    small = quantise(model, faces(12))
    exact, rounded = run(model, faces(12)), run(small, faces(12))
    cosines = (exact * rounded).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() > 0.95
    assert not np.array_equal(exact, rounded)
    graph = onnx.load_model_from_string(small).graph
    assert "QuantizeLinear" in {node.op_type for node in graph.node}
    assert {tensor.data_type for tensor in graph.initializer} >= {onnx.TensorProto.INT8}


def test_without_images_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="needs images"):
        quantise(recogniser(), faces(0))


@pytest.mark.slow
def test_split_activations_are_joined_to_the_same_function(default_pack_path: Path) -> None:
    pack = load_pack(default_pack_path)
    model = pack.read_model(pack.manifest.embedder)
    joined = with_plain_prelu(model)
    operators = [node.op_type for node in onnx.load_model_from_string(joined).graph.node]
    assert "PRelu" in operators and "Relu" not in operators
    np.testing.assert_allclose(run(joined, faces(2)), run(model, faces(2)), rtol=1e-3, atol=1e-3)
