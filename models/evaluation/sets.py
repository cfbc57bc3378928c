"""`coreface-evaluate sets`: a pack's aggregator and its rivals on sample sets of the people in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.extraction import PackVision, extract
from models.aggregation.network import FaceCoresetNet
from models.aggregation.weights import load_weights
from models.commands import named_pack, progress_bar, write_json
from models.datasets.people import people_in_folders
from models.evaluation.aggregates import aggregate_with_file, aggregate_with_module, pool_by_norm
from models.evaluation.folder_sets import FMRS, ProtocolName, SetReport, evaluate_sets, is_reported, report_json
from models.evaluation.set_protocol import Aggregate
from service.runtime.pack import Pack

_FAITHFUL = Path(__file__).parent / "faithful"
_DEGRADED_VERSIONS = 8


def compared_methods(pack: Pack) -> dict[str, Aggregate]:
    """`template` is the pack's own aggregator; `faithful`, the published fusion, is there for the packs that it was
    trained for (`models/evaluation/faithful/PACK.npz`)."""
    width = pack.manifest.embedder.width
    methods = {"template": aggregate_with_file(pack.model_path(pack.manifest.aggregator))}
    faithful = _FAITHFUL / f"{pack.manifest.name}.npz"
    if faithful.is_file():
        methods["faithful"] = aggregate_with_module(load_weights(faithful))
    return {
        **methods,
        "average": pool_by_norm(0.0),
        "norm_weighted": pool_by_norm(1.0),
        "coreset_mean": aggregate_with_module(FaceCoresetNet(AggregatorConfig(Fusion.CORESET_MEAN, width))),
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(
        prog="coreface-evaluate sets",
        description="Measure a pack's aggregator and its rivals on sample sets of the people in a folder: two disjoint "
        "halves of each person's photographs are mated, sets of different people are not.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder of photographs a person")
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its directory")
    parser.add_argument("--protocol", type=ProtocolName, choices=list(ProtocolName), default=ProtocolName.MIXED)
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples of the people")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    try:
        people = people_in_folders(options.images)
        degraded_versions = 0 if options.protocol is ProtocolName.CLEAN else _DEGRADED_VERSIONS
        with progress_bar("embedding the photographs") as show:
            cache = extract(PackVision.load(pack), people, degraded_versions=degraded_versions, progress=show)
        with progress_bar("comparing sets") as show:
            report = evaluate_sets(
                cache, people, compared_methods(pack), options.protocol, resamples=options.resamples, progress=show
            )
    except ValueError as error:
        parser.exit(2, f"coreface-evaluate: {error}\n")
    print(describe(report))
    if options.json is not None:
        write_json(options.json, report_json(report))


def describe(report: SetReport) -> str:
    """The report as text with a Markdown table: FNMR (95 % interval over people)."""
    lines = [
        f"{report.people} people, {report.samples:,} samples, "
        f"{report.mated:,} mated and {report.non_mated:,} non-mated comparisons; "
        f"failure to acquire {report.fta:.2%}, to enrol {report.fte:.2%}.",
        f"best_pooling is norm^{report.best_power:g}, the best power on these very sets.",
        "",
        "| | " + " | ".join(f"FNMR at FMR {fmr:.0e}" for fmr in FMRS) + " |",
        "|---" * (len(FMRS) + 1) + "|",
    ]
    for name, rates in report.methods.items():
        cells = [
            f"{rate.fnmr:.4f} ({rate.fnmr_interval[0]:.3f}-{rate.fnmr_interval[1]:.3f})"
            if is_reported(rate)
            else f"not reported ({rate.false_matches} false matches)"
            for rate in rates
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
