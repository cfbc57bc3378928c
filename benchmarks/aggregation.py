"""Time of the aggregator by the size of the set.

`python -m benchmarks.aggregation [--output FILE]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from service.runtime.onnx import load_model
from service.runtime.pack import Pack, load_pack
from service.settings import Settings
from service.types import Embedding
from service.vision.aggregation import OnnxSetAggregator

SIZES = (1, 10, 100, 300, 1000)


def measure(pack: Pack, rounds: int) -> dict[str, float]:
    """Median milliseconds of one set, by size, on one thread."""
    rng = np.random.default_rng(0)
    aggregator = OnnxSetAggregator(load_model(pack, pack.manifest.aggregator, threads=1))
    vectors = rng.normal(size=(max(SIZES), pack.manifest.embedder.width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embeddings = [
        Embedding(vector, float(norm)) for vector, norm in zip(vectors, rng.uniform(8, 14, len(vectors)), strict=True)
    ]
    taken: dict[str, list[float]] = {str(size): [] for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            began = time.perf_counter()
            aggregator.aggregate([embeddings[:size]])
            taken[str(size)].append(1e3 * (time.perf_counter() - began))
    return {size: statistics.median(each) for size, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    settings = Settings()
    text = json.dumps(measure(load_pack(settings.packs_path / settings.pack), options.rounds), indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
