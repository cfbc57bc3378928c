"""`coreface-evaluate calibrate`: thresholds and likelihood ratios of a pack, measured on people no weight has seen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.aggregation.data import CLEAN, EmbeddingCache
from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar, write_json
from models.datasets.lfw import Split
from models.evaluation.calibration_report import CalibrationReport, markdown, report_on
from models.evaluation.calibration_sets import Kind, aggregate_in, draw_group
from models.evaluation.consistency import fit_limits
from service.calibration.comparisons import TemplateGroup
from service.calibration.fitting import UnsupportedDataError, fit_calibration
from service.calibration.quality_scale import measure_scale
from service.runtime.calibration import Calibration, QualityScaleSpec
from service.runtime.manifest import Manifest
from service.runtime.onnx import load_session
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE, Pack, verify_file

COMMAND = "coreface-evaluate calibrate --data DATA --pack {name} --output models/packs/{name}"
REPORT_COMMAND = f"{COMMAND} --report docs/evaluation"
_DATA = (
    "LFW people of the splits `validation` ({validation}) and `single_train` ({singles}), unseen in training. "
    "Templates made by the exported aggregator of {kinds}. Non-mated: every two people once for every two of these. "
    "Mated: disjoint halves of the images of the `validation` people, drawn {draws} times."
)
_MEASURED_SPLITS = (Split.VALIDATION, Split.SINGLE_TRAIN)
_MATED_DRAWS = 10
_SEED = 11


def main(arguments: list[str] | None = None) -> None:
    """Writes calibration.json beside the manifest and the aggregator of `--output`, or with `--report` what the test
    people meet at the thresholds that are there."""
    parser = data_parser(
        "coreface-evaluate calibrate",
        "Measure the thresholds and likelihood ratios of a pack definition, or report what they mean on test people.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="pack definition with manifest.json and aggregator.onnx; gets calibration.json",
    )
    parser.add_argument("--resamples", type=int, default=200, help="bootstrap resamples of the people")
    parser.add_argument(
        "--report", type=Path, help="change no threshold; write PACK-calibration.md and .json of the test people here"
    )
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    manifest = Manifest.model_validate_json((options.output / MANIFEST_FILE).read_bytes())
    _require_same_networks(pack, manifest)
    if options.report is not None:
        _report(pack, manifest, options)
        return
    everyone, again, counts = _groups(pack, manifest, _MEASURED_SPLITS, options)
    kinds = "; ".join(Kind)
    try:
        calibration = fit_calibration(
            everyone,
            again,
            fingerprint=manifest.fingerprint,
            data=_DATA.format(validation=counts[0], singles=counts[1], kinds=kinds, draws=_MATED_DRAWS),
            command=COMMAND.format(name=manifest.name),
            resamples=options.resamples,
            quality_scale=_scale(pack, everyone, options),
            consistency=fit_limits(_caches(pack, (Split.TRAIN, Split.VALIDATION), options)),
        )
    except UnsupportedDataError as error:
        parser.exit(2, f"coreface-evaluate: {error}\n")
    path = options.output / CALIBRATION_FILE
    path.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {', '.join(calibration.point_names)}; {len(calibration.levels)} quality levels")


def _groups(
    pack: Pack, manifest: Manifest, splits: tuple[Split, Split], options: argparse.Namespace
) -> tuple[TemplateGroup, list[TemplateGroup], list[int]]:
    """Everyone once, the people with several images again, and how many people each split has."""
    aggregator = options.output / manifest.aggregator.file
    verify_file(aggregator, manifest.aggregator.sha256)
    aggregate = aggregate_in(load_session(aggregator, threads=0))
    caches = _caches(pack, splits, options)
    rng = np.random.default_rng(_SEED)
    everyone = draw_group(caches, aggregate, rng)
    again = [draw_group(caches[:1], aggregate, rng) for _ in range(_MATED_DRAWS - 1)]
    return everyone, again, [len(cache.names) for cache in caches]


def _caches(pack: Pack, splits: Sequence[Split], options: argparse.Namespace) -> list[EmbeddingCache]:
    caches = []
    for split in splits:
        with progress_bar(f"embeddings of the {split} people") as show:
            caches.append(extract_split(pack, options.data, split, cache_directory=options.cache, progress=show))
    return caches


def _scale(pack: Pack, everyone: TemplateGroup, options: argparse.Namespace) -> QualityScaleSpec:
    """Of the same photographs and templates that the thresholds are measured on, as many clean as degraded samples."""
    rng = np.random.default_rng(_SEED)
    caches = _caches(pack, _MEASURED_SPLITS, options)
    clean = np.concatenate([cache.norms[cache.version == CLEAN] for cache in caches])
    degraded = np.concatenate([cache.norms[cache.version != CLEAN] for cache in caches])
    norms = np.concatenate([clean, rng.choice(degraded, len(clean), replace=False)])
    sides = [side.norms for kind in everyone.kinds for side in (kind.reference, kind.probe)]
    return measure_scale(norms, np.concatenate(sides))


def _report(pack: Pack, manifest: Manifest, options: argparse.Namespace) -> None:
    calibration = Calibration.model_validate_json((options.output / CALIBRATION_FILE).read_bytes())
    measured, measured_again, _ = _groups(pack, manifest, _MEASURED_SPLITS, options)
    everyone, again, counts = _groups(pack, manifest, (Split.TEST, Split.SINGLE_TEST), options)
    report: CalibrationReport = report_on(
        calibration,
        pack=manifest.name,
        command=REPORT_COMMAND.format(name=manifest.name),
        people=sum(counts),
        measured=(measured, measured_again),
        unseen=(everyone, again),
    )
    page = options.report / f"{manifest.name}-calibration.md"
    write_json(page.with_suffix(".json"), report.values())
    page.write_text(markdown(report), encoding="utf-8")
    print(page)


def _require_same_networks(pack: Pack, manifest: Manifest) -> None:
    """Embeddings of another detector or embedder would calibrate another pack."""
    if (pack.manifest.detector, pack.manifest.embedder) != (manifest.detector, manifest.embedder):
        raise SystemExit("the installed pack's detector or embedder is not the definition's: install the pack again")


if __name__ == "__main__":
    main()
