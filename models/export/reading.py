"""The PyTorch module of an exported aggregator, rebuilt from the file alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.aggregation.configuration import AggregatorConfig
from models.aggregation.methods import build_network
from models.aggregation.network import SetAggregatorModule

CONFIG_KEY = "coreface.aggregator"
"""Metadata entry of the file that holds the configuration."""

HALF_PREFIX = "half."
"""Of the names of weights that are kept in half precision."""


def load_aggregator(path: Path) -> SetAggregatorModule:
    """The PyTorch module of an exported file, in `eval()`. Raises ValueError when the file is not one of ours."""
    model = onnx.load(path)
    properties = {item.key: item.value for item in model.metadata_props}
    if CONFIG_KEY not in properties:
        raise ValueError(f"{path.name} was not written by this exporter")
    network = build_network(AggregatorConfig.from_json(properties[CONFIG_KEY]))
    stored = {item.name: torch.from_numpy(np.array(numpy_helper.to_array(item))) for item in model.graph.initializer}
    state = {
        name: stored[name if name in stored else HALF_PREFIX + name].reshape(value.shape).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval()
