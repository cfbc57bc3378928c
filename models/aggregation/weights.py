"""Trained weights on disk: arrays under their own names and the configuration, no pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.aggregation.configuration import AggregatorConfig
from models.aggregation.methods import build_network
from models.aggregation.network import SetAggregatorModule

_CONFIG_KEY = "config"


def save_weights(network: SetAggregatorModule, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    np.savez(path, **{_CONFIG_KEY: np.array(network.config.to_json()), **arrays})


def load_weights(path: Path) -> SetAggregatorModule:
    """In `eval()`. Raises OSError, KeyError or ValueError when `path` holds no such weights."""
    with np.load(path, allow_pickle=False) as stored:
        network = build_network(AggregatorConfig.from_json(str(stored[_CONFIG_KEY])))
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in network.state_dict()})
    return network.eval()
