"""Does the exported file compute what PyTorch computes? On sets of sizes that the export never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from models.aggregation.configuration import Fusion
from models.aggregation.data import SampleSets
from models.aggregation.network import SetAggregatorModule
from models.export.reading import load_aggregator
from service.runtime.onnx import load_session

PARITY_COSINE = 0.9999
_BATCH = 250
_LARGEST_SET = 48


def random_sets(rng: np.random.Generator, *, sets: int, width: int) -> Iterator[SampleSets]:
    """Batches of random sets, 1 to 48 samples around a common direction, norms from 1e-2 to 1e2, garbage padding."""
    for start in range(0, sets, _BATCH):
        count = min(_BATCH, sets - start)
        longest = int(rng.integers(1, _LARGEST_SET + 1))
        subjects = rng.normal(size=(count, 1, width))
        vectors = subjects + rng.uniform(0.2, 3.0) * rng.normal(size=(count, longest, width))
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        norms = np.exp(rng.uniform(np.log(1e-2), np.log(1e2), (count, longest)))
        valid = np.arange(longest)[None, :] < rng.integers(1, longest + 1, count)[:, None]
        vectors[~valid] = np.nan
        norms[~valid] = np.nan
        media = np.where(valid, np.arange(longest), -1)
        yield SampleSets(vectors.astype(np.float32), norms.astype(np.float32), valid, media)


def lowest_parity_cosine(
    path: Path,
    *,
    sets: int,
    progress: Callable[[int, int], None],
    network: SetAggregatorModule | None = None,
    seed: int = 0,
) -> float:
    """The lowest cosine between the templates of the file in ONNX Runtime and of `network` in PyTorch, by default of
    the file's own weights.

    Raises ValueError when a template is not finite or a core index differs.
    """
    network = load_aggregator(path) if network is None else network.eval()
    session = load_session(path, threads=0)
    width = 512 if network.config.fusion is Fusion.CORESET_MEAN else network.config.width
    lowest, done = 1.0, 0
    for batch in random_sets(np.random.default_rng(seed), sets=sets, width=width):
        outputs = session.run({"embeddings": batch.embeddings, "norms": batch.norms, "valid": batch.valid})
        with torch.inference_mode():
            expected = network(*map(torch.from_numpy, (batch.embeddings, batch.norms, batch.valid)))
        cosines = (outputs[0].astype(np.float64) * expected.template.numpy()).sum(axis=1)
        if not np.isfinite(cosines).all() or not np.array_equal(outputs[2], expected.core_indices.numpy()):
            raise ValueError(f"{path.name} and PyTorch disagree on a core or give templates that are not finite")
        lowest = min(lowest, float(cosines.min()))
        done += len(cosines)
        progress(done, sets)
    return lowest
