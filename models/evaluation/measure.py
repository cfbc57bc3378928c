"""`coreface-evaluate splits`: FNMR of sample sets at fixed FMRs, aggregator against poolings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from models.aggregation.data import EmbeddingCache
from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar, write_json
from models.datasets.lfw import Split
from models.evaluation.aggregates import aggregate_with_file, baselines
from models.evaluation.rates_table import rates_table
from models.evaluation.set_protocol import Aggregate, SetProtocol, compare_draws, draw_sets
from service.calibration.error_rates import FMRS, ErrorRates, error_rates


def measure_sets(
    cache: EmbeddingCache, aggregates: Mapping[str, Aggregate], protocol: SetProtocol, *, resamples: int
) -> dict[str, list[ErrorRates]]:
    """Error rates of each aggregate on the same sets."""
    draws = list(draw_sets(cache, protocol))
    rates = {}
    with progress_bar("comparing sets") as show:
        for number, (name, aggregate) in enumerate(aggregates.items()):
            scores = compare_draws(cache, draws, aggregate)
            rates[name] = error_rates(scores, FMRS, resamples=resamples)
            show(number + 1, len(aggregates))
    return rates


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table and writes sets-SPLIT.json."""
    parser = data_parser(
        "coreface-evaluate splits",
        "Measure an exported aggregator on sample sets of 2 to 12 images, 80 % of them degraded: disjoint halves of "
        "each person's images are mated, sets of different people are not.",
    )
    parser.add_argument("--aggregator", type=Path, help="exported file; default: the one of the pack")
    parser.add_argument("--split", choices=(Split.VALIDATION.value, Split.TEST.value), default=Split.TEST.value)
    parser.add_argument("--draws", type=int, default=SetProtocol().draws, help="times that all sets are drawn")
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples of the people")
    parser.add_argument("--output", type=Path, default=Path("artefacts/evaluation"), help="directory for the report")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    with progress_bar(f"embeddings of the {options.split} people") as show:
        cache = extract_split(pack, options.data, Split(options.split), cache_directory=options.cache, progress=show)
    exported = options.aggregator or pack.model_path(pack.manifest.aggregator)
    protocol = SetProtocol(draws=options.draws)
    aggregates = {**baselines(pack.manifest.embedder.width), "aggregator": aggregate_with_file(exported)}
    rates = measure_sets(cache, aggregates, protocol, resamples=options.resamples)
    print(f"{len(cache.names)} {options.split} people, {options.draws} draws; FNMR (95 % interval over people)")
    print(rates_table(rates))
    write_json(
        options.output / f"sets-{options.split}.json",
        {
            "split": options.split,
            "people": len(cache.names),
            "protocol": asdict(protocol),
            "rates": {name: [asdict(rate) for rate in row] for name, row in rates.items()},
        },
    )


if __name__ == "__main__":
    main()
