"""What a GPU computes in float16, on a CPU: every intermediate value is rounded, and what is too large is infinite.

ONNX Runtime on a CPU takes a float16 network and computes it in float32 from end to end, so that only its weights are
rounded. A GPU reads and writes float16 between operators, and adds up in float32 inside of them.
"""

from __future__ import annotations

import onnx
from onnx import helper


def rounding_everywhere(model: bytes) -> bytes:
    """A network in float16 as one in float32, with its rounded weights, that rounds what each operator answers."""
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    _widen_weights(graph)
    nodes = []
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16:
                attribute.i = onnx.TensorProto.FLOAT
            if attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.FLOAT16:
                _widen(attribute.t)
        nodes.append(node)
    halves = _halves(model)
    outputs = {value.name for value in graph.output}
    del graph.value_info[:]
    rounded = []
    for node in nodes:
        rounded.append(node)
        for place, name in enumerate(node.output):
            if name not in halves:
                continue
            assert name not in outputs
            node.output[place] = f"{name}_exact"
            rounded.append(helper.make_node("Cast", [f"{name}_exact"], [f"{name}_half"], to=onnx.TensorProto.FLOAT16))
            rounded.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(rounded)
    return bytes(proto.SerializeToString())


def _halves(model: bytes) -> set[str]:
    """Names of the values that are float16 in the network."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)).graph
    return {value.name for value in graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}


def _widen_weights(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            _widen(tensor)


def _widen(tensor: onnx.TensorProto) -> None:
    values = onnx.numpy_helper.to_array(tensor).astype("float32")
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
