"""Quantised networks become plain ones that compute the same."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from service.packs.dequantisation import dequantise
from tests.packs.tiny_networks import recogniser, yunet_like


def run(model: bytes, **inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, inputs)


def reference(model: bytes, image: np.ndarray) -> list[np.ndarray]:
    """The quantised graph itself, computed by onnx's own evaluator."""
    parsed = onnx.load_model_from_string(model)
    weights = {tensor.name for tensor in parsed.graph.initializer}
    name = parsed.graph.input[0].name
    used = {name for node in parsed.graph.node for name in node.input}
    kept = [value for value in parsed.graph.input if value.name in used - weights]
    del parsed.graph.input[:]
    parsed.graph.input.extend(kept)
    return ReferenceEvaluator(parsed).run(None, {name: image})


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def test_a_detector_computes_the_same_for_any_batch_and_size() -> None:
    quantised = yunet_like(quantised=True)
    plain = dequantise(quantised)
    images = pixels(3, 3, 64, 64)
    outputs = run(plain, input=images)
    for row, image in enumerate(images):
        for output, expected in zip(outputs, reference(quantised, image[None]), strict=True):
            np.testing.assert_allclose(output[row], expected[0], rtol=1e-4, atol=1e-4)
    shapes = [output.shape for output in run(plain, input=pixels(2, 3, 96, 128))]
    assert shapes[:3] == [(2, 12 * 16, 1), (2, 6 * 8, 1), (2, 3 * 4, 1)]


def test_a_recogniser_computes_the_same_for_any_batch() -> None:
    quantised = recogniser(quantised=True, batch=1)
    plain = dequantise(quantised)
    faces = pixels(5, 3, 112, 112)
    [features] = run(plain, data=faces)
    assert features.shape == (5, 8)
    for row, face in enumerate(faces):
        [expected] = reference(quantised, face[None])
        np.testing.assert_allclose(features[row], expected[0], rtol=1e-4, atol=1e-4)


def test_nothing_of_the_quantisation_remains() -> None:
    model = onnx.load_model_from_string(dequantise(recogniser(quantised=True, batch=1)))
    assert [value.name for value in model.graph.input] == ["data"]
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "Add", "Flatten", "Gemm"}
    assert all(tensor.data_type == TensorProto.FLOAT for tensor in model.graph.initializer)
    first = model.graph.input[0].type.tensor_type.shape.dim
    assert (first[0].dim_param, first[2].dim_value) == ("batch", 112)


def test_the_same_bytes_every_time() -> None:
    digests = {hashlib.sha256(dequantise(yunet_like(quantised=True))).hexdigest() for _ in range(3)}
    assert len(digests) == 1


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x0a"])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        dequantise(content)


@pytest.mark.parametrize("spoiled", ["not constant", "no blocks"])
def test_other_quantisation_is_refused(spoiled: str) -> None:
    attributes = {"axis": 1, "block_size": 2} if spoiled == "not constant" else {}
    inputs = ["codes", "scale", "zero"]
    weights = [
        numpy_helper.from_array(np.ones((1, 2), kind), name)
        for name, kind in (("scale", np.float32), ("zero", np.int8), ("codes", np.int8))
    ]
    graph_inputs = []
    if spoiled == "not constant":
        weights = weights[:2]
        graph_inputs = [helper.make_tensor_value_info("codes", TensorProto.INT8, [1, 4])]
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", inputs, ["values"], **attributes)],
        "odd",
        graph_inputs,
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, None])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    with pytest.raises(ValueError, match=r"constants|blocks"):
        dequantise(model.SerializeToString())
