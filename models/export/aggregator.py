"""Aggregator -> ONNX, and back: the file holds its weights under their own names and its configuration, so that
the file alone rebuilds the PyTorch module. No checkpoint, no pickle."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.network import FaceCoresetNet

OPSET = 18
_INPUTS = {"embeddings": {0: "B", 1: "N"}, "norms": {0: "B", 1: "N"}, "valid": {0: "B", 1: "N"}}
_OUTPUTS = {
    "template": {0: "B"},
    "template_norm": {0: "B"},
    "core_indices": {0: "B"},
    "sample_weights": {0: "B", 1: "N"},
}
_CONFIG_KEY = "coreface.aggregator"


def export_aggregator(network: FaceCoresetNet) -> bytes:
    """The ONNX file, the same bytes for the same weights. B and N are dynamic; so is D for the coreset mean."""
    config = network.config
    axes: dict[str, dict[int, str]] = {name: dict(dims) for name, dims in {**_INPUTS, **_OUTPUTS}.items()}
    if config.fusion is Fusion.CORESET_MEAN:
        axes["embeddings"][2] = "D"
        axes["template"][1] = "D"
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(2, 5, config.width, generator=generator), dim=2)
    norms = torch.rand(2, 5, generator=generator) + 1.0
    valid = torch.tensor([[True] * 5, [True] * 4 + [False]])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that replaces this one bakes in less of what we unroll, but needs onnxscript; this one is
        # complete for these operators and gives stable names.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (embeddings, norms, valid),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            input_names=list(_INPUTS),
            output_names=list(_OUTPUTS),
            dynamic_axes=axes,
        )
    return _finish(buffer.getvalue(), config)


def _finish(exported: bytes, config: AggregatorConfig) -> bytes:
    model = onnx.load_from_string(exported)
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.metadata_props.add(key=_CONFIG_KEY, value=config.to_json())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def load_aggregator(path: Path) -> FaceCoresetNet:
    """The PyTorch module of an exported file, in `eval()`. Raises ValueError when the file is not one of ours."""
    model = onnx.load(path)
    properties = {item.key: item.value for item in model.metadata_props}
    if _CONFIG_KEY not in properties:
        raise ValueError(f"{path.name} was not written by this exporter")
    network = FaceCoresetNet(AggregatorConfig.from_json(properties[_CONFIG_KEY]))
    stored = {item.name: torch.from_numpy(np.array(numpy_helper.to_array(item))) for item in model.graph.initializer}
    state = {name: stored[name].reshape(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


def write_aggregator(network: FaceCoresetNet, path: Path) -> str:
    """Export to `path` and answer the file's SHA-256."""
    data = export_aggregator(network)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
