"""Makes a network's file into one that takes pixels, or computes in half precision: what a GPU is given.

Only bytes travel to the device then, a quarter of what float32 would, and it converts them itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from service.runtime.manifest import InputRange

PIXELS = "coreface_pixels"
"""Name of the input that `with_pixel_input` makes: uint8 (B, H, W, 3), BGR."""


def with_pixel_input(model: bytes, input_range: InputRange) -> bytes:
    """The network behind `PixelRange.to_input`: the same numbers, in its graph."""
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    [source] = [value for value in graph.input if value.name not in weights]
    batch, _, height, width = source.type.tensor_type.shape.dim

    steps: list[tuple[str, list[tuple[str, Any]], dict[str, Any]]] = [
        ("Cast", [], {"to": onnx.TensorProto.FLOAT}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ]
    if input_range.color_order == "rgb":
        steps.append(("Gather", [("order", np.array([2, 1, 0]))], {"axis": 1}))
    if input_range.mean != 0:
        steps.append(("Sub", [("mean", np.float32(input_range.mean))], {}))
    if input_range.std != 1:
        steps.append(("Div", [("std", np.float32(input_range.std))], {}))
    nodes = []
    value = PIXELS
    for number, (operator, constants, attributes) in enumerate(steps):
        result = source.name if number == len(steps) - 1 else f"{PIXELS}_{number}"
        names = [f"{PIXELS}_{name}" for name, _ in constants]
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(constant), name)
            for name, (_, constant) in zip(names, constants, strict=True)
        )
        nodes.append(helper.make_node(operator, [value, *names], [result], name=f"{PIXELS}_{operator}", **attributes))
        value = result

    pixels = helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [None] * 4)
    for made, given in zip(pixels.type.tensor_type.shape.dim, (batch, height, width), strict=False):
        made.CopyFrom(given)
    pixels.type.tensor_type.shape.dim[3].dim_value = 3
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    graph.input.remove(source)
    graph.input.insert(0, pixels)
    return bytes(proto.SerializeToString())


def in_float16(model: bytes) -> bytes:
    """The network with weights and operators in float16; its input and its outputs stay in float32."""
    # Only here: it is a part of the onnxruntime package that nothing else needs.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = onnx.load_model_from_string(model)
    return bytes(convert_float_to_float16(proto, keep_io_types=True).SerializeToString())


def one_node_network() -> bytes:
    """The smallest one to try a device with: `values`, float32 (1,), to their negatives."""
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("values", "answer")]
    graph = helper.make_graph([helper.make_node("Neg", ["values"], ["answer"])], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
