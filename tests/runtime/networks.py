"""Tiny ONNX networks, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def doubling_network() -> onnx.ModelProto:
    """`doubled` = 2 * `values`, (B, 4) float32."""
    return _model(
        [helper.make_node("Mul", ["values", "two"], ["doubled"])],
        [numpy_helper.from_array(np.full(4, 2, np.float32), "two")],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["batch", 4])],
    )


def write_network(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def with_external_data(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    """The same network, its first weight said to lie in the file `location`."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return model


def _model(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return model
