"""`coreface-evaluate consistency`: how well a pack tells sets of one person from sets of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar, write_json
from models.datasets.lfw import Split
from models.evaluation.aggregates import aggregate_with_file
from models.evaluation.consistency import CONDITIONS, limits_of, measure_alarms, measure_drop, page, values

_COMMAND = "coreface-evaluate consistency --data DATA --pack {name} --output docs/evaluation"
_SETS = 10_000
_DRAWS = 200
_SEED = 17


def main(arguments: list[str] | None = None) -> None:
    """Writes PACK-consistency.md and .json."""
    parser = data_parser(
        "coreface-evaluate consistency",
        "Measure on LFW's test people how well a pack tells sets of one person from sets with somebody else in them.",
    )
    parser.add_argument("--output", type=Path, required=True, help="directory to write to")
    parser.add_argument("--sets", type=int, default=_SETS, help="of each condition")
    parser.add_argument("--draws", type=int, default=_DRAWS, help="of every person, for the policy `drop`")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    if pack.calibration is None or pack.calibration.consistency is None:
        raise SystemExit(f"pack {pack.name!r} has no limits of consistency")
    spec = pack.calibration.consistency
    limits = limits_of(spec)
    with progress_bar("embeddings of the test people") as show:
        cache = extract_split(pack, options.data, Split.TEST, cache_directory=options.cache, progress=show)
    rng = np.random.default_rng(_SEED)
    alarms = []
    with progress_bar("grouping sets") as show:
        for number, condition in enumerate(CONDITIONS):
            alarms.append(measure_alarms(cache, limits, condition, options.sets, rng))
            show(number + 1, len(CONDITIONS))
    aggregate = aggregate_with_file(pack.model_path(pack.manifest.aggregator))
    clean = [condition for condition in CONDITIONS if condition.strangers and not condition.degraded_share]
    drops = [measure_drop(cache, limits, aggregate, condition, options.draws, rng) for condition in clean]
    command = _COMMAND.format(name=pack.name)
    target = options.output / f"{pack.name}-consistency.md"
    write_json(target.with_suffix(".json"), values(pack.name, pack.fingerprint, command, spec, alarms, drops))
    target.write_text(page(pack.name, command, spec, alarms, drops), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
