"""`coreface-evaluate calibrate`: operating points of a pack, measured on people that no weight has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar
from models.datasets.lfw import Split
from models.evaluation.aggregates import aggregate_with_file
from models.evaluation.metrics import (
    ComparisonScores,
    ErrorRates,
    error_rates,
    false_match_count,
    false_non_match_rate,
    is_reported,
)
from models.evaluation.mixed_protocol import Kind, MixedProtocol, compare_mixed, pool_kinds
from service.runtime.manifest import Calibration, Manifest, OperatingPointSpec
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE, Pack, verify_file

NAMES = {"fmr_1e-2": 1e-2, "fmr_1e-3": 1e-3, "fmr_1e-4": 1e-4}
DEFAULT_OPERATING_POINT = "fmr_1e-4"
COMMAND = "coreface-evaluate calibrate --data DATA --pack {name} --output models/packs/{name}"
_DATA = (
    "LFW people of the splits `validation` ({validation}) and `single_train` ({singles}), unseen in training. "
    "Templates made by the exported aggregator. Pooled in equal numbers: one clean image against one clean image, one "
    "clean image against a set, a set against a set (2 to 12 samples, 80 % degraded, fewer where a person has few "
    "images). Non-mated: each pair of people once for each kind. Mated: disjoint halves of the images of the "
    "`validation` people."
)


def calibrate(scores: Mapping[Kind, ComparisonScores], *, resamples: int) -> list[ErrorRates]:
    """Error rates at every operating point over all kinds. Raises ValueError when too few false matches stand behind
    one of them."""
    rates = error_rates(pool_kinds(scores), tuple(NAMES.values()), resamples=resamples)
    for rate in rates:
        if not is_reported(rate):
            raise ValueError(f"only {rate.false_matches} false matches behind FMR {rate.fmr}: measure more people")
    return rates


def observed_table(scores: Mapping[Kind, ComparisonScores], points: Sequence[OperatingPointSpec]) -> str:
    """Markdown: what each kind of comparison meets at given thresholds."""
    lines = ["| operating point | comparison | FMR | FNMR |", "|---|---|---|---|"]
    for point in points:
        for kind, part in [*scores.items(), ("all", pool_kinds(scores))]:
            matches = false_match_count(part.non_mated, point.threshold)
            missed = false_non_match_rate(part.mated, point.threshold)
            lines.append(
                f"| {point.name} ({point.threshold:.4f}) | {kind} | {matches / len(part.non_mated):.2e} "
                f"({matches:,} of {len(part.non_mated):,}) | {missed:.4f} (of {len(part.mated):,}) |"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Writes calibration.json beside the manifest and the aggregator of `--output`, or with `--report` only prints
    what the test people meet at the thresholds that are there."""
    parser = data_parser(
        "coreface-evaluate calibrate",
        "Measure the decision thresholds of a pack definition, or report what they mean on test people.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="pack definition with manifest.json and aggregator.onnx; gets calibration.json",
    )
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples of the people")
    parser.add_argument(
        "--report", action="store_true", help="change nothing; print observed rates on `test` and `single_test` people"
    )
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    manifest = Manifest.model_validate_json((options.output / MANIFEST_FILE).read_bytes())
    _require_same_networks(pack, manifest)
    aggregator = options.output / manifest.aggregator.file
    verify_file(aggregator, manifest.aggregator.sha256)
    splits = (Split.TEST, Split.SINGLE_TEST) if options.report else (Split.VALIDATION, Split.SINGLE_TRAIN)
    caches = []
    for split in splits:
        with progress_bar(f"embeddings of the {split} people") as show:
            caches.append(extract_split(pack, options.data, split, cache_directory=options.cache, progress=show))
    scores = compare_mixed(caches, aggregate_with_file(aggregator), MixedProtocol())
    path = options.output / CALIBRATION_FILE
    if options.report:
        print(observed_table(scores, Calibration.model_validate_json(path.read_bytes()).operating_points))
        return
    calibration = Calibration(
        schema_version=1,
        fingerprint=manifest.fingerprint,
        data=_DATA.format(validation=len(caches[0].names), singles=len(caches[1].names)),
        command=COMMAND.format(name=manifest.name),
        default_operating_point=DEFAULT_OPERATING_POINT,
        operating_points=tuple(
            OperatingPointSpec(
                name=name,
                fmr=rate.fmr,
                threshold=rate.threshold,
                threshold_interval=rate.threshold_interval,
                false_matches=rate.false_matches,
                comparisons=rate.comparisons,
                fnmr=rate.fnmr,
                mated_comparisons=rate.mated_comparisons,
            )
            for name, rate in zip(NAMES, calibrate(scores, resamples=options.resamples), strict=True)
        ),
    )
    path.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(observed_table(scores, calibration.operating_points))
    print(f"{path}: fingerprint {manifest.fingerprint}")


def _require_same_networks(pack: Pack, manifest: Manifest) -> None:
    """Embeddings of another detector or embedder would calibrate another pack."""
    if (pack.manifest.detector, pack.manifest.embedder) != (manifest.detector, manifest.embedder):
        raise SystemExit("the installed pack's detector or embedder is not the definition's: install the pack again")


if __name__ == "__main__":
    main()
