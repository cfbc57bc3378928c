"""Published set aggregators beside FaceCoresetNet, with its interface and trained by its recipe: no core, so every
core index is -1. Written from the papers; both read the features f = n u of a frozen embedder, as FaceCoresetNet
does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.aggregation.attention import masked_softmax
from models.aggregation.configuration import AggregatorConfig
from models.aggregation.network import AggregatorOutput, SetAggregatorModule, without_padding
from models.aggregation.quality import NormEncoding, NormStatistics

_CLUSTERS = 4
"""CAFace's M."""


class NeuralAggregationNetwork(SetAggregatorModule):
    """Two cascaded attention poolings: Yang et al., "Neural Aggregation Network for Video Face Recognition", CVPR 2017.

    r0 = attention pooling with a learned query; the second query is tanh(W r0 + b). The template is a weighted sum
    of the features, so `sample_weights` are its weights times the norms. Features are divided by the embedder's mean
    norm, so that the queries start in the same range for every embedder.
    """

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        self.config = config
        self.statistics = NormStatistics()
        self.query = nn.Parameter(torch.zeros(config.width))
        self.second = nn.Linear(config.width, config.width)

    def norm_statistics(self) -> NormStatistics | None:
        return self.statistics

    def forward(self, embeddings: Tensor, norms: Tensor, valid: Tensor) -> AggregatorOutput:
        embeddings, norms = without_padding(embeddings, norms, valid)
        scaled = norms / self.statistics.mean.exp()
        features = embeddings * scaled.unsqueeze(2)
        first = masked_softmax((features * self.query).sum(dim=2), valid)
        pooled = (first.unsqueeze(1) @ features).squeeze(1)
        query = torch.tanh(self.second(pooled))  # (B, D)
        weights = masked_softmax((features * query.unsqueeze(1)).sum(dim=2), valid)  # (B, N)
        template = (weights.unsqueeze(1) @ (embeddings * norms.unsqueeze(2))).squeeze(1)
        return _output(template, weights * norms, self.config.core_size)


class ClusterAndAggregate(SetAggregatorModule):
    """CAFace: Kim et al., "Cluster and Aggregate: Face Recognition with Large Probe Set", NeurIPS 2022.

    Cluster network: M learned centres attend to the samples' style and share each sample out among them; a cluster is
    the mean of its shares of the features. Aggregation network: one mixer block over the clusters gives each cluster
    a weight for each channel. Here the style is read from the embedding and the encoded norm, not from the
    backbone's inner feature maps, and a set is seen at once, not batch by batch. `sample_weights` are the cluster
    weights averaged over channels, passed on to the samples by their shares.
    """

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.statistics = NormStatistics()
        self.encoding = NormEncoding(width)
        self.style = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
        self.centres = nn.Parameter(torch.randn(_CLUSTERS, width))
        self.mix_norm = nn.LayerNorm(2 * width)
        self.mix_clusters = nn.Sequential(nn.Linear(_CLUSTERS, 16), nn.GELU(), nn.Linear(16, _CLUSTERS))
        self.mix_channels = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.weigh = nn.Linear(width, width)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def norm_statistics(self) -> NormStatistics | None:
        return self.statistics

    def forward(self, embeddings: Tensor, norms: Tensor, valid: Tensor) -> AggregatorOutput:
        embeddings, norms = without_padding(embeddings, norms, valid)
        features = embeddings * norms.unsqueeze(2)
        scale = float(self.config.width) ** 0.5
        style = self.style(torch.cat([embeddings * scale, self.encoding(self.statistics(norms))], dim=2))  # (B, N, D)
        shares = torch.softmax(self.centres @ style.transpose(1, 2) / scale, dim=1)  # (B, M, N), sums to 1 over M
        shares = torch.where(valid.unsqueeze(1), shares, torch.zeros_like(shares))
        of_cluster = shares / shares.sum(dim=2, keepdim=True).clamp_min(1e-6)
        clusters, styles = of_cluster @ features, of_cluster @ style  # (B, M, D)
        mixed = torch.cat([clusters / self.statistics.mean.exp() * scale, styles], dim=2)
        mixed = mixed + self.mix_clusters(self.mix_norm(mixed).transpose(1, 2)).transpose(1, 2)
        sizes = shares.sum(dim=2, keepdim=True).clamp_min(1e-6).log()  # an untrained one is the mean of the features
        weights = torch.softmax(self.weigh(self.mix_channels(mixed)) + sizes, dim=1)  # (B, M, D)
        template = (weights * clusters).sum(dim=1)
        sample_shares = (weights.mean(dim=2).unsqueeze(1) @ of_cluster).squeeze(1) * norms
        return _output(template, sample_shares, self.config.core_size)


def _output(template: Tensor, shares: Tensor, core_size: int) -> AggregatorOutput:
    length = template.square().sum(dim=1).sqrt().clamp_min(1e-12)
    no_core = torch.full((template.shape[0], core_size), -1, dtype=torch.int64, device=template.device)
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return AggregatorOutput(functional.normalize(template, dim=1, eps=1e-12), length, no_core, shares)
