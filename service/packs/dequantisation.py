"""Turns an int8 block-quantised ONNX network into a plain float32 one of any batch size.

`DequantizeLinear` with a `block_size` holds one scale and zero point per block of consecutive weights along an
axis (ONNX operator set 21); ONNX Runtime refuses some of these nodes. The weights are constants, so they are
computed here once: `(q - zero_point) * scale`, one rounding in float32, the same bits on every machine. Since the
graph is written anew here, its activations take the form that runs fast (`fast_prelu`).
"""

from __future__ import annotations

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from service.packs.fast_prelu import is_channelwise, split_prelu

_NEEDS_FIXED_SIZE = {"Flatten", "Gemm", "MatMul"}
_NO_SLOPES = np.empty(0, np.float32)
_IR_VERSION_OF_OPSET_21 = 10


def dequantise(model_bytes: bytes) -> bytes:
    """The same network with float32 weights, dynamic batch and, if it is fully convolutional, dynamic height
    and width.

    Weights, and inputs that nothing reads, leave the list of graph inputs. Reshapes to a fixed batch of 1 keep
    the batch of their input instead. Same input, same output bytes: the result's digest can be pinned.
    Raises `ValueError` for bytes that are no ONNX network or that quantise something other than constants.
    """
    try:
        model = onnx.load_model_from_string(model_bytes)
    except DecodeError as error:
        raise ValueError(f"no ONNX file: {error}") from error
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            weights[node.output[0]] = _dequantise_weight(node, weights)
        elif node.op_type == "Reshape" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].reshape(weights[node.input[1]])
        elif node.op_type == "PRelu" and is_channelwise(weights.get(node.input[1], _NO_SLOPES)):
            activation, slopes = split_prelu(node, weights[node.input[1]])
            kept += activation
            weights |= slopes
        else:
            kept.append(node)
            if node.op_type == "Reshape" and node.input[1] in weights:
                weights[node.input[1]] = _with_free_batch(weights[node.input[1]])
    used = {name for node in kept for name in node.input}
    inputs = [value for value in graph.input if value.name in used and value.name not in weights]
    fully_convolutional = not any(node.op_type in _NEEDS_FIXED_SIZE for node in kept)
    for value in inputs:
        _free(value, ("batch", None, "height", "width") if fully_convolutional else ("batch",))
    for value in graph.output:
        _free(value, ("batch", f"{value.name}_anchors") if fully_convolutional else ("batch",))

    plain = onnx.helper.make_graph(
        kept,
        graph.name,
        inputs,
        list(graph.output),
        [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used],
    )
    result = onnx.helper.make_model(plain, opset_imports=list(model.opset_import), producer_name="coreface")
    result.ir_version = _IR_VERSION_OF_OPSET_21
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"no valid network: {error}") from error
    return bytes(result.SerializeToString(deterministic=True))


def _dequantise_weight(node: onnx.NodeProto, weights: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    missing = [name for name in node.input if name not in weights]
    if missing or len(node.input) != 3:
        raise ValueError(f"{node.output[0]} is not made from three constants")
    quantised, scale, zero_point = (weights[name] for name in node.input)
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis = attributes.get("axis", 1)
    block = attributes.get("block_size", 0)
    if block == 0 or scale.ndim != quantised.ndim:
        raise ValueError(f"{node.output[0]} is not quantised in blocks")
    length = quantised.shape[axis]
    offset = quantised.astype(np.int32) - _spread(zero_point, block, axis, length).astype(np.int32)
    return offset.astype(np.float32) * _spread(scale, block, axis, length).astype(np.float32)


def _spread(values: NDArray[np.generic], block: int, axis: int, length: int) -> NDArray[np.generic]:
    """One value per block -> one value per weight; the last block may be shorter."""
    return np.take(np.repeat(values, block, axis=axis), np.arange(length), axis=axis)


def _with_free_batch(shape: NDArray[np.generic]) -> NDArray[np.generic]:
    """`0` keeps the first dimension of what is reshaped."""
    free = shape.copy()
    if free.size and free[0] == 1:
        free[0] = 0
    return free


def _free(value: onnx.ValueInfoProto, names: tuple[str | None, ...]) -> None:
    """Name the leading dimensions of a graph input or output, which makes them dynamic."""
    for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
        if name is not None:
            dimension.dim_param = name
