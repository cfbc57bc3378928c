from __future__ import annotations

import numpy as np
import torch

from models.aggregation.quality import NormEncoding, NormStatistics


def test_norms_are_standardised_and_clamped_to_the_range_seen() -> None:
    norms = np.exp(np.random.default_rng(0).normal(2.0, 0.3, 5000)).astype(np.float32)
    statistics = NormStatistics()
    statistics.fit(norms)
    standardised = statistics(torch.from_numpy(norms)).numpy()
    assert abs(standardised.mean()) < 0.01 and abs(standardised.std() - 1.0) < 0.02
    extremes = statistics(torch.tensor([1e-3, 1e3]))
    assert extremes.tolist() == [float(statistics.lowest), float(statistics.highest)]
    assert -4.0 < extremes[0] < -2.0 and 2.0 < extremes[1] < 4.0


def test_a_rounding_error_of_the_norm_hardly_moves_its_encoding() -> None:
    statistics, encoding = NormStatistics(), NormEncoding(128)
    statistics.fit(np.exp(np.random.default_rng(0).normal(2.2, 0.3, 1000)).astype(np.float32))
    norms = torch.linspace(5.0, 14.0, 50)[None]
    half = norms.to(torch.float16).to(torch.float32) + 0.005
    cosine = torch.nn.functional.cosine_similarity(encoding(statistics(norms)), encoding(statistics(half)), dim=2)
    assert cosine.min() > 0.999
