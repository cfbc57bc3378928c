"""Every trainable method by its name."""

from __future__ import annotations

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.network import FaceCoresetNet, SetAggregatorModule
from models.aggregation.rivals import ClusterAndAggregate, NeuralAggregationNetwork


def build_network(config: AggregatorConfig) -> SetAggregatorModule:
    """An untrained network."""
    match config.fusion:
        case Fusion.NAN:
            return NeuralAggregationNetwork(config)
        case Fusion.CAFACE:
            return ClusterAndAggregate(config)
        case _:
            return FaceCoresetNet(config)
