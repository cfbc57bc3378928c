"""Aggregator -> ONNX. The file holds its weights under their own names and its configuration, so that it alone
rebuilds the PyTorch module (`reading.py`): no checkpoint, no pickle."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.network import SetAggregatorModule
from models.export.reading import CONFIG_KEY, HALF_PREFIX

OPSET = 18
_INPUTS = {"embeddings": {0: "B", 1: "N"}, "norms": {0: "B", 1: "N"}, "valid": {0: "B", 1: "N"}}
_OUTPUTS = {
    "template": {0: "B"},
    "template_norm": {0: "B"},
    "core_indices": {0: "B"},
    "sample_weights": {0: "B", 1: "N"},
}


def export_aggregator(network: SetAggregatorModule) -> bytes:
    """The ONNX file, the same bytes for the same weights. B and N are dynamic; so is D for the coreset mean.

    Raises ValueError for the rivals: they are there to be compared with, and have no core to explain a template by.
    """
    config = network.config
    if config.fusion in (Fusion.NAN, Fusion.CAFACE):
        raise ValueError(f"{config.fusion} is a rival for comparison; it is not exported")
    axes: dict[str, dict[int, str]] = {name: dict(dims) for name, dims in {**_INPUTS, **_OUTPUTS}.items()}
    if config.fusion is Fusion.CORESET_MEAN:
        axes["embeddings"][2] = "D"
        axes["template"][1] = "D"
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(2, 5, config.width, generator=generator), dim=2)
    norms = torch.rand(2, 5, generator=generator) + 1.0
    valid = torch.tensor([[True] * 5, [True] * 4 + [False]])
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        path = Path(directory) / "aggregator.onnx"
        # The exporter that replaces this one needs onnxscript; this one is complete for these operators, keeps the
        # weights' own names and writes the same bytes every time.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (embeddings, norms, valid),
            path,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            input_names=list(_INPUTS),
            output_names=list(_OUTPUTS),
            dynamic_axes=axes,
        )
        return _finish(path.read_bytes(), config)


def halve_weights(exported: bytes) -> bytes:
    """The same file with its weight matrices in float16, half the size; it computes in float32 as before.

    Vectors and scalars stay as they are: they weigh nothing, and gamma decides which samples are the core.
    """
    model = onnx.load_from_string(exported)
    graph = model.graph
    casts = []
    for item in graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype != np.float32 or values.ndim < 2:
            continue
        name = item.name
        item.CopyFrom(numpy_helper.from_array(values.astype(np.float16), HALF_PREFIX + name))
        casts.append(helper.make_node("Cast", [HALF_PREFIX + name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _finish(exported: bytes, config: AggregatorConfig) -> bytes:
    model = onnx.load_from_string(exported)
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.metadata_props.add(key=CONFIG_KEY, value=config.to_json())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
