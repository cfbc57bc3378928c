"""`coreface-export`: trained weights become the aggregator of a pack definition, compared with PyTorch first."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import onnxruntime

from models.aggregation.network import FaceCoresetNet, SetAggregatorModule
from models.aggregation.weights import load_weights
from models.commands import command_parser, progress_bar
from models.export.aggregator import OPSET, export_aggregator, halve_weights
from models.export.parity import PARITY_COSINE, lowest_parity_cosine
from models.export.publishing import publish_aggregator, training_record

_SETS = 10_000


def main(arguments: list[str] | None = None) -> None:
    """Nothing is written to the pack where the file departs from PyTorch."""
    parser = command_parser(
        "coreface-export",
        "Export trained weights to ONNX, compare the file with PyTorch on 10,000 random sets in float32 "
        "and with float16 weights, and pin it in a pack definition.",
    )
    parser.add_argument("--weights", type=Path, default=Path("artefacts/training/weights.npz"), help="trained weights")
    parser.add_argument("--output", type=Path, help="pack definition to update, such as models/packs/opencv-sface")
    parser.add_argument("--half", type=Path, help="file to write with float16 weights, half the size")
    parser.add_argument(
        "--report", type=Path, help="JSON of `coreface-evaluate splits` on unseen people, for the manifest"
    )
    options = parser.parse_args(arguments)
    if options.output is None and options.half is None:
        parser.error("give --output, --half or both")
    try:
        network = load_weights(options.weights)
        full = export_aggregator(network)
        half = halve_weights(full)
        for title, data in (("float32", full), ("float16 weights", half)):
            lowest = _parity(network, data, title)
            print(f"{title}: {len(data):,} bytes, lowest cosine to PyTorch over {_SETS:,} random sets {lowest:.7f}")
            if lowest < PARITY_COSINE:
                raise ValueError(f"the file departs from PyTorch: {lowest} is below {PARITY_COSINE}")
        if options.half is not None:
            options.half.parent.mkdir(parents=True, exist_ok=True)
            options.half.write_bytes(half)
        if options.output is not None:
            digest = _publish(network, options)
            print(f"{options.output}: opset {OPSET}, ONNX Runtime {onnxruntime.__version__}, sha256 {digest}")
    except (OSError, ValueError) as error:
        parser.exit(2, f"coreface-export: {error}\n")


def _publish(network: SetAggregatorModule, options: argparse.Namespace) -> str:
    record = None
    if isinstance(network, FaceCoresetNet) and network.norm_statistics() is not None:
        record = training_record(network, options.weights.with_name("training.json"), _metrics(options.report))
    return publish_aggregator(network, options.output, record)


def _parity(network: SetAggregatorModule, data: bytes, title: str) -> float:
    with tempfile.TemporaryDirectory() as directory, progress_bar(f"{title} against PyTorch") as show:
        path = Path(directory) / "aggregator.onnx"
        path.write_bytes(data)
        return lowest_parity_cosine(path, sets=_SETS, progress=show, network=network)


def _metrics(report: Path | None) -> dict[str, float]:
    """FNMR of the aggregator by FMR, from the JSON of the measurement."""
    if report is None:
        return {}
    measured = json.loads(report.read_text(encoding="utf-8"))
    return {f"{measured['split']} fnmr@{rate['fmr']:.0e}": rate["fnmr"] for rate in measured["rates"]["aggregator"]}


if __name__ == "__main__":
    main()
