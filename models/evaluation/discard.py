"""`coreface-evaluate discard`: does the quality number tell which samples and templates fail?

Error-versus-discard curves (Grother & Tabassi, IEEE TPAMI 2007; ISO/IEC 29794-1): of all mated comparisons the share
with the poorest worse side is left out, and the FNMR of the rest is measured at one threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import EmbeddingCache, ImageVersions
from models.aggregation.extraction import extract_split
from models.commands import data_parser, named_pack, progress_bar, write_json
from models.datasets.lfw import Split
from models.evaluation.calibration_sets import aggregate_in, templates_with_norms
from models.evaluation.report.plots import plot_discard
from models.evaluation.set_protocol import SetProtocol, draw_sets
from service.calibration.comparisons import Templates
from service.calibration.error_rates import threshold_at
from service.runtime.onnx import load_session

SHARES = np.round(np.arange(0.0, 0.96, 0.05), 2)
"""Of the mated comparisons, left out."""
_FMR = 1e-3
_COMMAND = "coreface-evaluate discard --data DATA --pack {name} --output docs/evaluation"
_DRAWS = 100
_SEED = 19


@dataclass(frozen=True, slots=True)
class Sides:
    """References and probes of the same people in the same order, draw by draw."""

    references: list[Templates]
    probes: list[Templates]


@dataclass(frozen=True, slots=True)
class DiscardCurve:
    """FNMR of what is left when a share of the mated comparisons is left out."""

    comparisons: int
    threshold: float
    """Of FMR 1e-3 on the non-mated comparisons of the same sides."""
    fnmr: list[float]
    """At each of `SHARES`."""
    area: float
    """Under the curve, as a share of the area of leaving out at random: 0 is perfect, 1 is worthless."""
    best_area: float
    """Of leaving out exactly the comparisons that fail."""


def discard_curve(sides: Sides) -> DiscardCurve:
    """By the norm of the worse side."""
    scores, norms, non_mated = [], [], []
    for reference, probe in zip(sides.references, sides.probes, strict=True):
        table = reference.vectors @ probe.vectors.T
        scores.append(np.diagonal(table))
        norms.append(np.minimum(reference.norms, probe.norms))
        non_mated.append(table[~np.eye(len(table), dtype=bool)])
    mated = np.concatenate(scores)
    threshold = threshold_at(np.concatenate(non_mated), _FMR)
    failed = (mated < threshold)[np.argsort(np.concatenate(norms), kind="stable")]
    fnmr = np.array([failed[round(float(share) * len(failed)) :].mean() for share in SHARES])
    best = np.clip(fnmr[0] - SHARES, 0.0, None) / (1.0 - SHARES)
    return DiscardCurve(
        comparisons=len(mated),
        threshold=threshold,
        fnmr=[float(rate) for rate in fnmr],
        area=_relative_area(fnmr),
        best_area=_relative_area(best),
    )


def draw_samples_of(cache: EmbeddingCache, draws: int) -> Sides:
    """Two single samples of different images for each person, one of two of them degraded."""
    rng = np.random.default_rng(_SEED)
    people = [person for person in cache.people() if len(person.images) >= 2]
    sides = Sides([], [])
    for _ in range(draws):
        picked = [[person.images[index] for index in rng.permutation(len(person.images))[:2]] for person in people]
        for drawn, side in ((sides.references, 0), (sides.probes, 1)):
            rows = [_pick_version(images[side], rng) for images in picked]
            drawn.append(Templates(cache.embeddings[rows], cache.norms[rows]))
    return sides


def _pick_version(image: ImageVersions, rng: np.random.Generator) -> int:
    use_clean = len(image.clean) > 0 and (len(image.degraded) == 0 or rng.random() < 0.5)
    return int(rng.choice(image.clean if use_clean else image.degraded))


def main(arguments: list[str] | None = None) -> None:
    """Writes PACK-discard.md, .json and .svg."""
    parser = data_parser(
        "coreface-evaluate discard",
        "Measure on LFW's test people how FNMR falls as the poorest samples and templates are left out.",
    )
    parser.add_argument("--output", type=Path, required=True, help="directory to write to")
    parser.add_argument("--draws", type=int, default=_DRAWS, help="of every person")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    with progress_bar("embeddings of the test people") as show:
        cache = extract_split(pack, options.data, Split.TEST, cache_directory=options.cache, progress=show)
    file = pack.model_path(pack.manifest.aggregator)
    aggregate = aggregate_in(load_session(file, threads=0))
    drawn = list(draw_sets(cache, SetProtocol(draws=options.draws)))
    curves = {
        "samples": discard_curve(draw_samples_of(cache, options.draws)),
        "templates": discard_curve(
            Sides(
                [templates_with_norms(cache, draw.references, aggregate) for draw in drawn],
                [templates_with_norms(cache, draw.probes, aggregate) for draw in drawn],
            )
        ),
    }
    command = _COMMAND.format(name=pack.name)
    target = options.output / f"{pack.name}-discard.md"
    write_json(
        target.with_suffix(".json"),
        {
            "pack": pack.name,
            "fingerprint": pack.fingerprint,
            "command": command,
            "fmr": _FMR,
            "discarded": SHARES.tolist(),
            "curves": {name: asdict(curve) for name, curve in curves.items()},
        },
    )
    plot_discard(SHARES, {name: curve.fnmr for name, curve in curves.items()}, pack.name, target.with_suffix(".svg"))
    target.write_text(page(pack.name, command, curves), encoding="utf-8")
    print(target)


def page(pack: str, command: str, curves: Mapping[str, DiscardCurve]) -> str:
    """Markdown."""
    shown = [index for index, share in enumerate(SHARES) if round(share * 100) % 10 == 0]
    lines = [
        f"# Error versus discard, {pack}",
        "",
        f"Made by `{command}` on LFW people of the split `test`. Of all mated comparisons the share whose worse side "
        f"has the lowest quality is left out; FNMR of the rest, at the threshold of FMR {_FMR:g} of all. A number that "
        "says nothing of quality would leave the FNMR where it was. **Area**: under the curve, as a share of that.",
        "",
        "**samples**: two photographs, one of two of them degraded, by `quality` of a sample. **templates**: sets of "
        "2 to 12 samples, 80 % degraded, by `quality` of a template.",
        "",
        f"![Error versus discard]({pack}-discard.svg)",
        "",
        "| left out | " + " | ".join(f"{SHARES[index]:.0%}" for index in shown) + " | area | best possible |",
        "|---" * (len(shown) + 3) + "|",
        *(
            f"| {name} ({curve.comparisons:,} comparisons) | "
            + " | ".join(f"{curve.fnmr[index]:.4f}" for index in shown)
            + f" | {curve.area:.2f} | {curve.best_area:.2f} |"
            for name, curve in curves.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _relative_area(fnmr: NDArray[np.float64]) -> float:
    return float(np.trapezoid(fnmr, SHARES) / (fnmr[0] * (SHARES[-1] - SHARES[0])))


if __name__ == "__main__":
    main()
