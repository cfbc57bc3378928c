"""`coreface-evaluate cost`: what an aggregator costs: parameters, multiply-adds and time per set, by set size."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.aggregation.network import SetAggregatorModule
from models.commands import command_parser, named_pack, write_json
from models.export.reading import load_aggregator
from service.runtime.onnx import OnnxSession, load_session

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_REPEATS = 15


@dataclass(frozen=True, slots=True)
class SetCost:
    """Of one set of `size` samples."""

    size: int
    multiply_adds: int
    milliseconds: float
    """Median of one forward pass on one thread."""


@dataclass(frozen=True, slots=True)
class AggregatorCost:
    parameters: int
    sets: tuple[SetCost, ...]
    milliseconds_per_set: float
    """Intercept of the least-squares line through the times."""
    milliseconds_per_sample: float
    """Its slope."""
    fit_r_squared: float


def measure_cost(
    network: SetAggregatorModule, session: OnnxSession, width: int, sizes: tuple[int, ...]
) -> AggregatorCost:
    """Multiply-adds of the matrix products of the PyTorch module, times from the exported file."""
    sets = tuple(
        SetCost(size, count_multiply_adds(network, width, size), _milliseconds(session, width, size)) for size in sizes
    )
    numbers, times = np.array(sizes, np.float64), np.array([cost.milliseconds for cost in sets])
    slope, intercept = np.polyfit(numbers, times, 1)
    residual = times - (slope * numbers + intercept)
    spread = float(((times - times.mean()) ** 2).sum())
    return AggregatorCost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        sets=sets,
        milliseconds_per_set=float(intercept),
        milliseconds_per_sample=float(slope),
        fit_r_squared=1.0 - float((residual**2).sum()) / spread if spread else 1.0,
    )


def count_multiply_adds(network: SetAggregatorModule, width: int, size: int) -> int:
    """Of one set of `size` samples."""
    inputs = tuple(map(torch.from_numpy, _one_set(width, size)))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(*inputs)
    return int(counter.get_total_flops()) // 2


def _milliseconds(session: OnnxSession, width: int, size: int) -> float:
    embeddings, norms, valid = _one_set(width, size)
    inputs = {"embeddings": embeddings, "norms": norms, "valid": valid}
    times = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        session.run(inputs)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def _one_set(width: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(1, size, width))
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    norms = rng.uniform(3.0, 15.0, (1, size))
    return embeddings.astype(np.float32), norms.astype(np.float32), np.ones((1, size), np.bool_)


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table."""
    parser = command_parser(
        "coreface-evaluate cost", "Parameters, multiply-adds and time per set of a pack's aggregator."
    )
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its directory")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    path = pack.model_path(pack.manifest.aggregator)
    session = load_session(path, threads=1)
    cost = measure_cost(load_aggregator(path), session, pack.manifest.embedder.width, SIZES)
    print(describe(cost))
    if options.output is not None:
        write_json(options.output, asdict(cost))


def describe(cost: AggregatorCost) -> str:
    """The figures as text with a Markdown table."""
    lines = [
        f"{cost.parameters:,} parameters; {cost.milliseconds_per_set:.3f} ms a set and "
        f"{1e3 * cost.milliseconds_per_sample:.2f} us a sample (R^2 {cost.fit_r_squared:.4f}), one thread.",
        "",
        "| samples | multiply-adds | median time |",
        "|---|---|---|",
    ]
    lines += [f"| {row.size} | {row.multiply_adds / 1e6:.2f} M | {row.milliseconds:.3f} ms |" for row in cost.sets]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
