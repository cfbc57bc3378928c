"""The poolings to beat, and the exported aggregator as the service runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.data import SampleSets
from models.aggregation.network import FaceCoresetNet, SetAggregatorModule
from models.evaluation.set_protocol import Aggregate, Templates
from service.runtime.onnx import load_session
from service.settings import Device


def pool_by_norm(power: float) -> Aggregate:
    """Mean of the unit embeddings weighted by norm ** power: 0 the plain average, 1 the mean of the unnormalised
    embeddings."""

    def aggregate(sets: SampleSets) -> Templates:
        weights = np.where(sets.valid, sets.norms.astype(np.float64) ** power, 0.0)
        pooled = np.einsum("bn,bnd->bd", weights, sets.embeddings.astype(np.float64))
        unit: Templates = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return aggregate


def aggregate_with_module(network: SetAggregatorModule) -> Aggregate:
    """A PyTorch module, at inference."""
    network.eval()

    def aggregate(sets: SampleSets) -> Templates:
        with torch.inference_mode():
            given = map(torch.from_numpy, (sets.embeddings, sets.norms, sets.valid))
            template: Templates = network(*given).template.numpy()
            return template

    return aggregate


def aggregate_with_file(path: Path) -> Aggregate:
    """An exported aggregator in ONNX Runtime."""
    session = load_session(path, device=Device.CPU, threads=0)

    def aggregate(sets: SampleSets) -> Templates:
        outputs = session.run({"embeddings": sets.embeddings, "norms": sets.norms, "valid": sets.valid})
        return outputs[0].astype(np.float32)

    return aggregate


def baselines(width: int) -> Mapping[str, Aggregate]:
    """What a trained aggregator stands beside."""
    return {
        "average": pool_by_norm(0.0),
        "norm-weighted average": pool_by_norm(1.0),
        "norm^4": pool_by_norm(4.0),
        "coreset mean": aggregate_with_module(FaceCoresetNet(AggregatorConfig(Fusion.CORESET_MEAN, width))),
    }
