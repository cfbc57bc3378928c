"""The poolings to beat, and the exported aggregator as the service runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.data import SampleSets
from models.aggregation.network import FaceCoresetNet, SetAggregatorModule
from models.evaluation.set_protocol import Aggregate, Templates
from service.runtime.onnx import load_session


def pool_by_norm(power: float) -> Aggregate:
    """Mean of the unit embeddings weighted by norm ** power: 0 the plain average, 1 the mean of the unnormalised
    embeddings."""

    def aggregate(sets: SampleSets) -> Templates:
        weights = np.where(sets.valid, sets.norms.astype(np.float64) ** power, 0.0)
        return _unit(np.einsum("bn,bnd->bd", weights, sets.embeddings.astype(np.float64)))

    return aggregate


def pool_media(sets: SampleSets) -> Templates:
    """Media average, the custom of the IJB protocols: the mean of the unnormalised embeddings of each photograph or
    video, then the mean over these."""
    vectors = sets.embeddings.astype(np.float64) * sets.norms[:, :, None]
    same = (sets.media[:, :, None] == sets.media[:, None, :]) & sets.valid[:, :, None] & sets.valid[:, None, :]
    weights = np.where(sets.valid, 1.0 / np.maximum(same.sum(axis=2), 1), 0.0)
    return _unit(np.einsum("bn,bnd->bd", weights, vectors))


def best_norm(sets: SampleSets) -> Templates:
    """The one sample of the largest norm."""
    best = np.where(sets.valid, sets.norms, -np.inf).argmax(axis=1)
    return _unit(sets.embeddings[np.arange(len(best)), best].astype(np.float64))


def _unit(pooled: NDArray[np.float64]) -> Templates:
    templates: Templates = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
    return templates


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
    session = load_session(path, threads=0)

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
        "media average": pool_media,
        "best norm": best_norm,
        "coreset mean": aggregate_with_module(FaceCoresetNet(AggregatorConfig(Fusion.CORESET_MEAN, width))),
    }
