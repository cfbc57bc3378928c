"""int8 copies of a network by static quantisation, with onnxruntime's tools. For measurements: no pack ships one
(`docs/decisions/0016-inference-engines-and-precision.md`).

Method: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

QUANTISED_OPERATORS = ("Conv", "Gemm", "MatMul")
"""What takes the time; between them activations stay in floating point."""


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    def __init__(self, name: str, network_input: NDArray[np.float32], batch: int) -> None:
        parts = (network_input[start : start + batch] for start in range(0, len(network_input), batch))
        self._parts: Iterator[dict[str, NDArray[np.float32]]] = ({name: part} for part in parts)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._parts, None)


def quantise(model: bytes, network_input: NDArray[np.float32], *, batch: int = 8) -> bytes:
    """The network with int8 weights (by channel) and int8 activations, both symmetric, between QuantizeLinear and
    DequantizeLinear.

    `network_input`: (N, 3, H, W) in the network's own range, of which the ranges of activations are learnt.
    Raises `ValueError` without any.
    """
    if len(network_input) == 0:
        raise ValueError("quantisation needs images to learn the ranges of activations from")
    with tempfile.TemporaryDirectory() as directory:
        given, prepared, quantised = (Path(directory) / f"{step}.onnx" for step in ("given", "prepared", "quantised"))
        given.write_bytes(model)
        # Batch normalisations must be part of the convolutions before their ranges are learnt.
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        name = onnx.load_model_from_string(prepared.read_bytes()).graph.input[0].name
        quantize_static(
            str(prepared),
            str(quantised),
            _Batches(name, network_input, batch),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # A zero point would cost OpenVINO a subtraction in floating point before every convolution.
            extra_options={"ActivationSymmetric": True},
        )
        return quantised.read_bytes()


def with_plain_prelu(model: bytes) -> bytes:
    """The network with the activations that `service.packs.fast_prelu` split joined again: OpenVINO makes a PRelu part
    of the convolution before it, and the parts of a split one need no ranges of their own."""
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    sources = {
        node.output[0].removesuffix("_positive"): node.input[0]
        for node in graph.node
        if node.op_type == "Relu" and node.output[0].endswith("_positive")
    }
    parts = {f"{result}{part}" for result in sources for part in ("_positive", "_all", "_more")}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        result = node.output[0]
        if result in sources:
            slopes = numpy_helper.to_array(weights[f"{result}_slope"]).reshape(-1, 1, 1)
            graph.initializer.append(numpy_helper.from_array(slopes.copy(), f"{result}_alpha"))
            kept.append(helper.make_node("PRelu", [sources[result], f"{result}_alpha"], [result]))
        elif result not in parts:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    return bytes(proto.SerializeToString())
