"""`coreface-evaluate report`: everything that is measured of a pack, written down as one page with its figures."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from models.aggregation.data import EmbeddingCache
from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar, write_json
from models.datasets.lfw import Split
from models.evaluation.aggregates import aggregate_with_module, best_norm, pool_by_norm, pool_media
from models.evaluation.cost import SIZES as COST_SIZES
from models.evaluation.cost import measure_cost
from models.evaluation.folder_sets import POWERS, best_power
from models.evaluation.report.ablation import Place, Variant, train_variants, variants
from models.evaluation.report.conditions import KINDS, MAIN, MIXED, SHARES, SIZES, Condition
from models.evaluation.report.measuring import det_curves, measure, norm_quality, sweep
from models.evaluation.report.plots import plot_det, plot_norm_quality, rank_correlation
from models.evaluation.report.text import AblationRow, PackReport, markdown
from models.evaluation.set_protocol import Aggregate, draw_sets
from models.evaluation.sets import compared_methods
from models.export.reading import load_aggregator
from models.training.configuration import TrainingConfig, read_config
from service.calibration.error_rates import ErrorRates
from service.runtime.onnx import load_session
from service.runtime.pack import Pack

_CONFIG = Path(__file__).parents[2] / "aggregation" / "configs" / "default.toml"
_KIND_VERSIONS = 1


def main(arguments: list[str] | None = None) -> None:
    """Writes PACK.md, PACK.json, PACK-det.svg and PACK-quality.svg to the output directory."""
    parser = data_parser(
        "coreface-evaluate report",
        "Measure a pack's aggregator, its rivals and its variants on the LFW test people, and write it down: tables, "
        "DET curves, feature norm against quality, ablation, cost. Half an hour on 2 cores, most of it training.",
    )
    parser.add_argument("--output", type=Path, default=Path("docs/evaluation"), help="directory for the report")
    parser.add_argument("--config", type=Path, default=_CONFIG, help="training configuration of what ships")
    parser.add_argument("--ablation-steps", type=int, default=500, help="training steps of each variant; 0: none")
    parser.add_argument(
        "--weights", type=Path, default=Path("artefacts/training/variants"), help="where the variants' weights are kept"
    )
    parser.add_argument("--resamples", type=int, default=200, help="bootstrap resamples of the people")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    try:
        _write_report(pack, read_config(options.config), options)
    except ValueError as error:
        parser.exit(2, f"coreface-evaluate: {error}\n")


def _write_report(pack: Pack, config: TrainingConfig, options: argparse.Namespace) -> None:
    wanted = variants(config, options.ablation_steps) if options.ablation_steps else []
    place = Place(pack.directory, options.data, options.cache, options.weights / pack.name)
    with progress_bar("training the variants") as show:
        networks = {name: aggregate_with_module(net) for name, net in train_variants(wanted, place, show).items()}
    test = _people(pack, Split.TEST, options)
    power = _best_power(_people(pack, Split.VALIDATION, options))
    methods = _methods(pack, power, wanted, networks)
    main_rates = {}
    with progress_bar("comparing sets") as show:
        for number, condition in enumerate(MAIN):
            main_rates[condition.title] = measure(test, methods, condition, resamples=options.resamples)
            show(number + 1, len(MAIN))
    quality = norm_quality(test)
    path = pack.model_path(pack.manifest.aggregator)
    session = load_session(path, threads=1)
    report = PackReport(
        pack=pack.name,
        fingerprint=pack.fingerprint,
        command=f"coreface-evaluate report --data DATA --pack {pack.name}",
        people=len(test.names),
        photographs=len({*test.image.tolist()}) + test.images_without_face,
        photographs_without_face=test.images_without_face,
        best_power=power,
        trained=_how_trained(methods, options.ablation_steps),
        main=main_rates,
        sizes=sweep(lambda _: test, methods, SIZES),
        shares=sweep(lambda _: test, methods, SHARES),
        kinds=sweep(lambda condition: _people(pack, Split.TEST, options, condition), methods, KINDS),
        ablation=[
            AblationRow(variant.group, variant.name, *_ablated(test, networks[variant.slug])) for variant in wanted
        ],
        rank_correlation=rank_correlation(quality),
        cost=measure_cost(load_aggregator(path), session, pack.manifest.embedder.width, COST_SIZES),
    )
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    plot_det(
        det_curves(test, methods),
        f"{pack.name}: mixed sets of {len(test.names)} people",
        output / f"{pack.name}-det.svg",
    )
    plot_norm_quality(quality, pack.name, output / f"{pack.name}-quality.svg")
    write_json(output / f"{pack.name}.json", asdict(report))
    page = output / f"{pack.name}.md"
    page.write_text(markdown(report, SIZES, SHARES, KINDS), encoding="utf-8")
    print(page)


def _people(
    pack: Pack, split: Split, options: argparse.Namespace, condition: Condition | None = None
) -> EmbeddingCache:
    kind = condition.kind if condition else None
    title = f"embeddings of the {split} people" + (f", {kind}" if kind else "")
    with progress_bar(title) as show:
        return extract_split(
            pack,
            options.data,
            split,
            degraded_versions=_KIND_VERSIONS if kind else None,
            kind=kind,
            cache_directory=options.cache,
            progress=show,
        )


def _best_power(validation: EmbeddingCache) -> float:
    with progress_bar("tuning the best pooling") as show:
        draws = list(draw_sets(validation, MIXED.protocol))
        return best_power(validation, draws, lambda done: show(done, len(POWERS)))


def _methods(pack: Pack, power: float, wanted: list[Variant], networks: dict[str, Aggregate]) -> dict[str, Aggregate]:
    """The template first; variants of the fusion under their own names, where nothing better trained is there."""
    own = compared_methods(pack)
    trained = {variant.name: networks[variant.slug] for variant in wanted if variant.group == "fusion"}
    return {
        **own,
        **{name: network for name, network in trained.items() if name not in own},
        "norm^2": pool_by_norm(2.0),
        "norm^3": pool_by_norm(3.0),
        "norm^4": pool_by_norm(4.0),
        "best_pooling": pool_by_norm(power),
        "media_average": pool_media,
        "best_norm": best_norm,
    }


def _ablated(test: EmbeddingCache, network: Aggregate) -> tuple[list[ErrorRates], list[ErrorRates]]:
    """On mixed and on clean sets; intervals are not shown."""
    mixed, clean = (measure(test, {"": network}, condition, resamples=1)[""] for condition in MAIN[:2])
    return mixed, clean


def _how_trained(methods: dict[str, Aggregate], steps: int) -> str:
    parts = []
    if "faithful" in methods:
        parts.append("`faithful`, the published fusion, is trained by the recipe of `template`.")
    if "caface" in methods:
        parts.append(f"The other trained ones (`cone`, `nan`, `caface`, ...) are, for {steps:,} steps.")
    return " ".join(parts)


if __name__ == "__main__":
    main()
