"""A detector and a recogniser of YuNet's, SCRFD's and ArcFace's shape with random weights, some quantised in blocks,
and a wheel that holds them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.packs.dequantisation import dequantise

WIDTH = 8
STRIDES = (8, 16, 32)
DETECTOR_MEMBER = "tinyface/models/detector.onnx"
EMBEDDER_MEMBER = "tinyface/models/embedder.onnx"

_make = helper.make_node


def yunet_like(*, quantised: bool) -> bytes:
    """Twelve outputs for one image of 64x64, final reshapes to a batch of 1."""
    nodes: list[onnx.NodeProto] = []
    weights: list[TensorProto] = []
    outputs = []
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            kernel = _random((width, 3, 4, 4), name) / 255
            nodes += _weight(weights, f"{name}_w", kernel, quantised)
            pool = stride // 4
            nodes.append(_make("AveragePool", ["input"], [f"{name}_p"], kernel_shape=[pool] * 2, strides=[pool] * 2))
            nodes.append(_make("Conv", [f"{name}_p", f"{name}_w"], [f"{name}_c"], strides=[4, 4]))
            nodes.append(_make("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]))
            weights.append(numpy_helper.from_array(np.array([1, -1, width], np.int64), f"{name}_shape"))
            nodes.append(_make("Reshape", [f"{name}_t", f"{name}_shape"], [name]))
            outputs.append((name, [1, (64 // stride) ** 2, width]))
    return _serialise(nodes, weights, [("input", [1, 3, 64, 64])], outputs)


def scrfd_like(*, outputs: int = 9) -> bytes:
    """Nine outputs for one image of any size, no batch dimension."""
    nodes: list[onnx.NodeProto] = []
    weights: list[TensorProto] = []
    described = []
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            weights.append(numpy_helper.from_array(_random((2 * width, 3, 1, 1), name), f"{name}_w"))
            weights.append(numpy_helper.from_array(np.array([-1, width], np.int64), f"{name}_shape"))
            nodes.append(
                _make("AveragePool", ["input.1"], [f"{name}_p"], kernel_shape=[stride] * 2, strides=[stride] * 2)
            )
            nodes.append(_make("Conv", [f"{name}_p", f"{name}_w"], [f"{name}_c"]))
            nodes.append(_make("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[2, 3, 0, 1]))
            nodes.append(_make("Reshape", [f"{name}_t", f"{name}_shape"], [name]))
            described.append((name, ["anchors", width]))
    return _serialise(nodes, weights, [("input.1", [1, 3, "height", "width"])], described[:outputs])


def recogniser(*, quantised: bool = False, batch: int | str = "batch", side: int = 112, seed: str = "") -> bytes:
    """One face to one vector, with a PRelu on the way."""
    nodes: list[onnx.NodeProto] = []
    weights: list[TensorProto] = []
    nodes += _weight(weights, "conv_w", _random((6, 3, 7, 7), f"conv{seed}") / 255, quantised)
    nodes.append(_make("Conv", ["data", "conv_w"], ["conv"], strides=[28, 28]))
    weights.append(numpy_helper.from_array(_random((6, 1, 1), "slopes"), "slopes"))
    nodes.append(_make("PRelu", ["conv", "slopes"], ["active"]))
    nodes.append(_make("Flatten", ["active"], ["flat"]))
    features = 6 * ((side - 7) // 28 + 1) ** 2
    nodes += _weight(weights, "fc_w", _random((WIDTH, features), "fc"), quantised)
    weights.append(numpy_helper.from_array(_random((WIDTH,), "bias"), "bias"))
    nodes.append(_make("Gemm", ["flat", "fc_w", "bias"], ["fc1"], transB=1))
    model = _serialise(nodes, weights, [("data", [batch, 3, side, side])], [("fc1", [batch, WIDTH])])
    if not quantised:
        return model
    # As in the published file: weights are listed as inputs, and so are names that nothing reads any more.
    listed = onnx.load_model_from_string(model)
    listed.graph.input.append(helper.make_tensor_value_info("slopes", TensorProto.FLOAT, [6, 1, 1]))
    listed.graph.input.append(helper.make_tensor_value_info("forgotten", TensorProto.FLOAT, [6, 3, 7, 7]))
    return bytes(listed.SerializeToString())


def write_wheel(directory: Path, members: dict[str, bytes] | None = None) -> Path:
    """`tinyface` 1.0: both networks, and code that would leave a mark if it were ever run."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "tinyface-1.0-py3-none-any.whl"
    networks = {DETECTOR_MEMBER: yunet_like(quantised=True), EMBEDDER_MEMBER: recogniser(quantised=True)}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in (networks if members is None else members).items():
            wheel.writestr(zipfile.ZipInfo(name), content)
        wheel.writestr(zipfile.ZipInfo("tinyface/__init__.py"), "raise SystemExit('the wheel was imported')")
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: tinyface\nVersion: 1.0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            wheel.writestr(zipfile.ZipInfo(f"tinyface-1.0.dist-info/{name}"), text)
    return path


def write_definition(definitions: Path, wheel: Path, aggregator: Path, **license_changes: object) -> Path:
    """The definition of a pack `tiny` that is built from the wheel."""
    directory = definitions / "tiny"
    directory.mkdir(parents=True)
    (directory / "aggregator.onnx").write_bytes(aggregator.read_bytes())
    (directory / "MODEL_CARD.md").write_text("# tiny\n")
    source = {
        "kind": "wheel",
        "package": "tinyface",
        "version": "1.0",
        "wheel_sha256": _sha256(wheel.read_bytes()),
        "transform": "dequantize",
    }
    with zipfile.ZipFile(wheel) as archive:
        detector, embedder = archive.read(DETECTOR_MEMBER), archive.read(EMBEDDER_MEMBER)
    input_range = {"color_order": "bgr", "mean": 0.0, "std": 1.0}
    values: dict[str, Any] = {
        "schema_version": 1,
        "name": "tiny",
        "version": "1.0.0",
        "license": {"spdx": "MIT", "commercial_use": True, "acceptance_required": False, "notice": "Free."}
        | license_changes,
        "detector": {
            "file": "detector.onnx",
            "sha256": _sha256(dequantise(detector)),
            "algorithm": "yunet",
            "input_range": input_range,
            "canvas_sides": [64, 96],
            "upscale": False,
            "score_threshold": 0.7,
            "nms_iou": 0.3,
            "turn_below_score": 0.0,
        },
        "embedder": {
            "file": "embedder.onnx",
            "sha256": _sha256(dequantise(embedder)),
            "input_range": input_range,
            "width": WIDTH,
            "landmark_template": "arcface_112",
        },
        "aggregator": {
            "file": "aggregator.onnx",
            "sha256": _sha256(aggregator.read_bytes()),
            "method": "coreset_mean",
            "trained": False,
            "core_size": 3,
        },
        "sources": {
            "detector.onnx": source | {"member": DETECTOR_MEMBER, "sha256": _sha256(detector)},
            "embedder.onnx": source | {"member": EMBEDDER_MEMBER, "sha256": _sha256(embedder)},
            "aggregator.onnx": {"kind": "bundled"},
        },
    }
    (directory / "manifest.json").write_text(json.dumps(values))
    return directory


def _weight(
    weights: list[TensorProto], name: str, values: NDArray[np.float32], quantised: bool
) -> list[onnx.NodeProto]:
    """Nodes that make the weight `name`; it is stored as it is, or as int8 blocks of 5 along the flattened rest."""
    if not quantised:
        weights.append(numpy_helper.from_array(values, name))
        return []
    flat = values.reshape(len(values), -1)
    block = 5
    blocks = -(-flat.shape[1] // block)
    scales = np.full((len(flat), blocks), np.abs(flat).max() / 100, np.float32)
    scales *= 1 + np.arange(blocks, dtype=np.float32) / blocks
    zero_points = (np.arange(blocks) % 3 - 1).astype(np.int8) * np.ones((len(flat), 1), np.int8)
    spread = np.repeat(scales, block, axis=1)[:, : flat.shape[1]]
    offsets = np.repeat(zero_points, block, axis=1)[:, : flat.shape[1]]
    codes = np.clip(np.round(flat / spread) + offsets, -128, 127).astype(np.int8)
    weights += [
        numpy_helper.from_array(codes, f"{name}_quantized"),
        numpy_helper.from_array(scales, f"{name}_scales"),
        numpy_helper.from_array(zero_points, f"{name}_zero_point"),
        numpy_helper.from_array(np.array(values.shape, np.int64), f"{name}_shape"),
    ]
    inputs = [f"{name}_quantized", f"{name}_scales", f"{name}_zero_point"]
    return [
        _make("DequantizeLinear", inputs, [f"{name}_dequantized"], axis=1, block_size=block),
        _make("Reshape", [f"{name}_dequantized", f"{name}_shape"], [name]),
    ]


def _serialise(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    inputs: list[tuple[str, list[Any]]],
    outputs: list[tuple[str, list[Any]]],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def _random(shape: tuple[int, ...], seed: str) -> NDArray[np.float32]:
    generator = np.random.default_rng(list(seed.encode()))
    return generator.normal(0, 0.5, shape).astype(np.float32)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
