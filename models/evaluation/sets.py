"""`coreface-evaluate sets`: a pack's aggregator and its rivals on sample sets of the people in a folder."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.degradation import DegradationKind
from models.aggregation.extraction import PackVision, extract
from models.aggregation.network import FaceCoresetNet
from models.commands import command_parser, named_pack, progress_bar, write_json
from models.datasets.people import people_in_folders
from models.evaluation.aggregates import aggregate_with_file, aggregate_with_module, pool_by_norm
from models.evaluation.folder_sets import (
    ProtocolName,
    SetReport,
    evaluate_sets,
    protocol_of,
    report_json,
    usable_people,
)
from models.evaluation.rates_table import rates_table
from models.evaluation.set_protocol import Aggregate, SetProtocol
from service.runtime.pack import Pack

_FAITHFUL = Path(__file__).parent / "faithful"
_DEGRADED_VERSIONS = 8


def compared_methods(pack: Pack) -> dict[str, Aggregate]:
    """`template` is the pack's own aggregator; `faithful`, the published fusion, is there for the packs that it was
    trained for (`models/evaluation/faithful/PACK.onnx`)."""
    width = pack.manifest.embedder.width
    methods = {"template": aggregate_with_file(pack.model_path(pack.manifest.aggregator))}
    faithful = _FAITHFUL / f"{pack.manifest.name}.onnx"
    if faithful.is_file():
        methods["faithful"] = aggregate_with_file(faithful)
    return {
        **methods,
        "average": pool_by_norm(0.0),
        "norm_weighted": pool_by_norm(1.0),
        "coreset_mean": aggregate_with_module(FaceCoresetNet(AggregatorConfig(Fusion.CORESET_MEAN, width))),
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints a table and writes the JSON."""
    parser = command_parser(
        "coreface-evaluate sets",
        "Measure a pack's aggregator and its rivals on sample sets of the people in a folder: two disjoint "
        "halves of each person's photographs are mated, sets of different people are not.",
    )
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder of photographs a person")
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its directory")
    parser.add_argument("--protocol", type=ProtocolName, choices=list(ProtocolName), default=ProtocolName.MIXED)
    parser.add_argument("--sizes", type=int, nargs=2, metavar=("LEAST", "MOST"), help="of a set, in samples")
    parser.add_argument("--degraded-share", type=float, help="0 to 1, of the samples")
    parser.add_argument(
        "--degradation",
        type=DegradationKind,
        choices=list(DegradationKind),
        help="the only kind; default: what comes up of all",
    )
    parser.add_argument("--intruders", type=int, help="samples of somebody else on top of each set")
    parser.add_argument("--duplicates", type=int, help="times that one sample of each set is there again")
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples of the people")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    try:
        people = people_in_folders(options.images)
        drawn = _as_asked(protocol_of(options.protocol, len(people)), options)
        with progress_bar("embedding the photographs") as show:
            cache = extract(
                PackVision.load(pack),
                people,
                degraded_versions=_DEGRADED_VERSIONS if drawn.degraded_share else 0,
                kind=options.degradation,
                progress=show,
            )
        drawn = replace(drawn, draws=protocol_of(options.protocol, usable_people(cache)).draws)
        with progress_bar("comparing sets") as show:
            report = evaluate_sets(
                cache, people, compared_methods(pack), drawn, resamples=options.resamples, progress=show
            )
    except ValueError as error:
        parser.exit(2, f"coreface-evaluate: {error}\n")
    print(describe(report))
    if options.json is not None:
        write_json(options.json, report_json(report))


def _as_asked(protocol: SetProtocol, options: argparse.Namespace) -> SetProtocol:
    """The named protocol with what the command line says otherwise. Raises ValueError for what makes no set."""
    smallest, largest = options.sizes or (protocol.smallest, protocol.largest)
    asked = {
        name: value
        for name in ("degraded_share", "intruders", "duplicates")
        if (value := getattr(options, name)) is not None
    }
    protocol = replace(protocol, smallest=smallest, largest=largest, **asked)
    if not 1 <= smallest <= largest:
        raise ValueError(f"set sizes {smallest} to {largest} are no range of 1 or more")
    if not 0.0 <= protocol.degraded_share <= 1.0:
        raise ValueError(f"a share is between 0 and 1, not {protocol.degraded_share}")
    if min(protocol.intruders, protocol.duplicates) < 0:
        raise ValueError("intruders and duplicates are counts of 0 or more")
    return protocol


def describe(report: SetReport) -> str:
    """The report as text with a Markdown table: FNMR (95 % interval over people)."""
    lines = [
        f"{report.people} people, {report.samples:,} samples, "
        f"{report.mated:,} mated and {report.non_mated:,} non-mated comparisons; "
        f"failure to acquire {report.fta:.2%}, to enrol {report.fte:.2%}.",
        f"best_pooling is norm^{report.best_power:g}, the best power on these very sets.",
        "",
        rates_table(report.methods),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
