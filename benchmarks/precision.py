"""What 16-bit arithmetic does to accuracy: detector and embedder as they are served in `half`, against `float32`.

`python -m benchmarks.precision --data DATA [--pack NAME] [--output FILE]`: LFW's 6,000 pairs, the set protocol on the
`test` people, and comparisons of one precision with the other. About ten minutes on two cores.

With `--float16` the 16 bits are those of a GPU, computed on the CPU: every value between two operators is rounded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.aggregation.data import EmbeddingCache
from models.aggregation.extraction import PackVision, extract
from models.commands import named_pack, progress_bar
from models.datasets.lfw import Split, lfw_people
from models.evaluation.aggregates import aggregate_with_file
from models.evaluation.lfw_pairs import embed_images, images_of_pairs, measure_accuracy, read_pairs
from models.evaluation.set_protocol import SetProtocol, compare_draws, draw_sets, templates_of
from service.assembly import build_detector, build_embedder
from service.calibration.error_rates import FMRS, error_rates
from service.protocols import PixelNetwork
from service.runtime.device_graph import in_float16, with_pixel_input
from service.runtime.gpu import GpuNetwork
from service.runtime.networks import NetworkSpec, open_network
from service.runtime.onnx import CPU_PROVIDER, open_session
from service.runtime.pack import Pack
from service.settings import Device, Precision, Settings
from service.types import Embedding
from tests.runtime.half_precision import rounding_everywhere

PRECISIONS = (Precision.FLOAT32, Precision.HALF)
_FACES = 4


Opener = Callable[[Pack, NetworkSpec, Precision], PixelNetwork]


def open_as_served(pack: Pack, spec: NetworkSpec, precision: Precision) -> PixelNetwork:
    """As a worker on a CPU runs it."""
    return open_network(pack, spec, Settings(device=Device.CPU, precision=precision))


def open_as_on_a_gpu(pack: Pack, spec: NetworkSpec, precision: Precision) -> PixelNetwork:
    """With what a GPU would round."""
    model = pack.read_model(spec)
    if precision is Precision.HALF:
        model = rounding_everywhere(in_float16(model))
    session = open_session(with_pixel_input(model, spec.input_range), spec.file, [CPU_PROVIDER])
    return GpuNetwork(session, spec.file, precision)


def open_vision(pack: Pack, precision: Precision, opened: Opener = open_as_served) -> PackVision:
    detector, embedder = pack.manifest.detector, pack.manifest.embedder
    return PackVision(
        build_detector(detector, opened(pack, detector, precision)),
        build_embedder(embedder, opened(pack, embedder, precision), batch_size=_FACES),
    )


def measure_pairs(pack: Pack, data: Path, opened: Opener) -> dict[str, Any]:
    """Accuracy in each precision, and how far scores move where one side is in each."""
    pairs = read_pairs(data / "lfw_pairs.txt")
    images = images_of_pairs(pairs)
    found: dict[Precision, Mapping[str, Embedding | None]] = {}
    for precision in PRECISIONS:
        with progress_bar(f"images of the pairs in {precision}") as show:
            found[precision] = embed_images(open_vision(pack, precision, opened), data / "lfw", images, show)
    exact, rounded = (found[precision] for precision in PRECISIONS)
    cosines = np.array(
        [float(one.vector @ other.vector) for image, one in exact.items() if one and (other := rounded[image])]
    )
    changes = np.array(
        [
            float(first.vector @ (mixed.vector - second.vector))
            for pair in pairs
            if (first := exact[pair.first]) and (second := exact[pair.second]) and (mixed := rounded[pair.second])
        ]
    )
    return {
        "accuracy": {str(each): asdict(measure_accuracy(pairs, dict(found[each]))) for each in PRECISIONS},
        "cosine to float32": {"mean": cosines.mean(), "0.1 %": np.quantile(cosines, 0.001), "least": cosines.min()},
        "score change of one side": {"deviation": changes.std(), "largest": np.abs(changes).max()},
    }


def measure_sets(
    pack: Pack,
    data: Path,
    opened: Opener,
    *,
    degraded_versions: int,
    draws: int,
    resamples: int,
) -> dict[str, Any]:
    """FNMR with its 95 % interval by FMR, of the same sets in each precision and of references in float32 against
    probes in 16 bits."""
    people = lfw_people(data, Split.TEST)
    aggregate = aggregate_with_file(pack.model_path(pack.manifest.aggregator))
    caches: dict[Precision, EmbeddingCache] = {}
    for precision in PRECISIONS:
        with progress_bar(f"test people in {precision}") as show:
            vision = open_vision(pack, precision, opened)
            caches[precision] = extract(vision, people, degraded_versions=degraded_versions, progress=show)
    rates = {}
    for precision, cache in caches.items():
        drawn = list(draw_sets(cache, SetProtocol(draws=draws)))
        scores = compare_draws(cache, drawn, aggregate)
        rates[str(precision)] = [asdict(rate) for rate in error_rates(scores, FMRS, resamples=resamples)]
    exact, rounded = (caches[precision] for precision in PRECISIONS)
    report: dict[str, Any] = {"people": len(people), "degraded_versions": degraded_versions, "rates": rates}
    if np.array_equal(exact.image, rounded.image) and np.array_equal(exact.version, rounded.version):
        drawn = list(draw_sets(exact, SetProtocol(draws=draws)))
        pairs = [
            (templates_of(exact, draw.probes, aggregate), templates_of(rounded, draw.probes, aggregate))
            for draw in drawn
        ]
        cosines = np.concatenate([(one * other).sum(axis=1) for one, other in pairs])
        report["cosine of templates"] = {
            "mean": cosines.mean(),
            "1 %": np.quantile(cosines, 0.01),
            "least": cosines.min(),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory with lfw/, lfw_pairs.txt, lfw_splits.json")
    parser.add_argument("--pack", default="opencv-sface")
    parser.add_argument("--degraded-versions", type=int, default=2)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--float16", action="store_true", help="the 16 bits of a GPU, in place of this CPU's")
    parser.add_argument("--part", choices=("all", "pairs", "sets"), default="all")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pack = named_pack(options.pack)
    opened = open_as_on_a_gpu if options.float16 else open_as_served
    report: dict[str, Any] = {"pack": pack.name}
    if options.part != "sets":
        report["pairs"] = measure_pairs(pack, options.data, opened)
    if options.part != "pairs":
        report["sets"] = measure_sets(
            pack,
            options.data,
            opened,
            degraded_versions=options.degraded_versions,
            draws=options.draws,
            resamples=options.resamples,
        )
    text = json.dumps(report, indent=1, default=float)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
