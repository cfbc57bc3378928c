"""`coreface-evaluate ijb`: the 1:1 verification protocol of IJB-B and IJB-C, from the official meta files.

Landmarks come from the meta files, no flip, no weight by detector score. FAR means "at most": the threshold is the
lowest at which at most that share of the non-mated comparisons match. An image that cannot be aligned or embedded is
a failure to acquire; a template without any usable image matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import SampleSets, pad_rows
from models.aggregation.extraction import LIMITS, PackVision
from models.commands import command_parser, named_pack, progress_bar, write_json
from models.evaluation.aggregates import aggregate_with_file, baselines
from models.evaluation.ijb_meta import IjbMeta, Numbers, read_ijb_meta
from models.evaluation.set_protocol import Aggregate
from service.calibration.error_rates import FEWEST_FALSE_MATCHES, false_match_count, false_non_match_rate, threshold_at
from service.errors import SampleRejectedError
from service.types import Embedding
from service.vision.alignment import align_face
from service.vision.decoding import decode_image

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_NO_TEMPLATE_SCORE = -1.0
_IMAGES_AT_ONCE = 16
_SAMPLES_AT_ONCE = 20_000
_PAIRS_AT_ONCE = 500_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class IjbImages:
    """Embeddings of all images, in the order of the meta file; norm 0 where there is none."""

    embeddings: NDArray[np.float32]  # (I, D)
    norms: NDArray[np.float32]  # (I,)

    @property
    def fta(self) -> float:
        """Failure to acquire, a share of the images."""
        return float(np.mean(self.norms == 0.0))


@dataclass(frozen=True, slots=True)
class IjbRate:
    far: float
    threshold: float
    tar: float
    """1 - FNMR, templates without a usable image counted as missed."""
    false_matches: int

    @property
    def is_reported(self) -> bool:
        return self.false_matches >= FEWEST_FALSE_MATCHES


def embed_images(vision: PackVision, folder: Path, meta: IjbMeta, width: int, progress: Progress) -> IjbImages:
    """Every image of the meta file below `folder`, aligned by its landmarks. Two threads."""
    embeddings = np.zeros((len(meta.images), width), np.float32)
    norms = np.zeros(len(meta.images), np.float32)
    starts = range(0, len(meta.images), _IMAGES_AT_ONCE)

    def embed(start: int) -> list[Embedding | None]:
        places = range(start, min(start + _IMAGES_AT_ONCE, len(meta.images)))
        faces = {place: _align(folder / meta.images[place], meta.landmarks[place]) for place in places}
        usable = [face for face in faces.values() if face is not None]
        embedded = iter(vision.embedder.embed(np.stack(usable)) if usable else [])
        return [None if face is None else next(embedded) for face in faces.values()]

    with ThreadPoolExecutor(max_workers=2) as pool:
        for start, found in zip(starts, pool.map(embed, starts), strict=True):
            for place, embedding in enumerate(found, start):
                if embedding is not None:
                    embeddings[place], norms[place] = embedding.vector, embedding.norm
            progress(min(start + _IMAGES_AT_ONCE, len(meta.images)), len(meta.images))
    return IjbImages(embeddings, norms)


def _align(path: Path, landmarks: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    try:
        return align_face(decode_image(path.read_bytes(), LIMITS), landmarks)
    except (OSError, SampleRejectedError):
        return None


def evaluate_ijb(meta: IjbMeta, images: IjbImages, aggregate: Aggregate) -> list[IjbRate]:
    """Rates at every FAR."""
    ids, templates, present = _templates(meta, images, aggregate)
    first, second = np.searchsorted(ids, meta.first), np.searchsorted(ids, meta.second)
    scores = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        scores[part] = np.einsum("pd,pd->p", templates[first[part]], templates[second[part]])
    scores[~(present[first] & present[second])] = _NO_TEMPLATE_SCORE
    mated, non_mated = scores[meta.mated], scores[~meta.mated]
    rates = []
    for far in FARS:
        # A missing template matches at no threshold, however low.
        threshold = max(threshold_at(non_mated, far), float(np.nextafter(_NO_TEMPLATE_SCORE, 0.0)))
        missed = false_non_match_rate(mated, threshold)
        rates.append(IjbRate(far, threshold, 1.0 - missed, false_match_count(non_mated, threshold)))
    return rates


def _templates(
    meta: IjbMeta, images: IjbImages, aggregate: Aggregate
) -> tuple[Numbers, NDArray[np.float32], NDArray[np.bool_]]:
    """Sorted ids (T,), templates (T, D), and where there is one (T,)."""
    ids = np.unique(meta.record_template)
    templates = np.zeros((len(ids), images.embeddings.shape[1]), np.float32)
    present = np.zeros(len(ids), bool)
    for numbers, sets in _batches(meta, images, ids):
        templates[numbers] = aggregate(sets)
        present[numbers] = True
    return ids, templates, present


def _batches(meta: IjbMeta, images: IjbImages, ids: Numbers) -> Iterator[tuple[Numbers, SampleSets]]:
    """Templates of like size together, so that little is padding; those without a usable image are left out."""
    usable = np.flatnonzero(images.norms[meta.record_image] > 0.0)
    order = usable[np.argsort(meta.record_template[usable], kind="stable")]
    numbers, starts = np.unique(np.searchsorted(ids, meta.record_template[order]), return_index=True)
    groups = np.split(order, starts[1:]) if len(order) else []
    by_size = sorted(range(len(groups)), key=lambda group: len(groups[group]))
    while by_size:
        longest = len(groups[by_size[-1]])
        batch = by_size[-max(1, _SAMPLES_AT_ONCE // longest) :]
        del by_size[-len(batch) :]
        padded, valid = pad_rows([groups[group] for group in batch])
        image = meta.record_image[padded]
        embeddings = np.where(valid[:, :, None], images.embeddings[image], np.float32(0.0))
        norms = np.where(valid, images.norms[image], np.float32(1.0))
        yield numbers[batch], SampleSets(embeddings, norms, valid, np.where(valid, meta.record_medium[padded], -1))


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table of TAR at FAR and writes the JSON."""
    parser = command_parser("coreface-evaluate ijb", "1:1 verification on IJB-B or IJB-C.")
    parser.add_argument("--ijb", type=Path, required=True, help="directory with meta/ and loose_crop/")
    parser.add_argument("--subset", choices=("ijbb", "ijbc"), required=True)
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its directory")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    try:
        meta = read_ijb_meta(options.ijb / "meta", options.subset)
    except (OSError, ValueError) as error:
        parser.exit(2, f"coreface-evaluate: {error}\n")
    width = pack.manifest.embedder.width
    with progress_bar("embedding the images") as show:
        images = embed_images(PackVision.load(pack), options.ijb / "loose_crop", meta, width, show)
    methods = {**baselines(width), "template": aggregate_with_file(pack.model_path(pack.manifest.aggregator))}
    rates = {name: evaluate_ijb(meta, images, aggregate) for name, aggregate in methods.items()}
    mated = int(meta.mated.sum())
    non_mated = len(meta.mated) - mated
    print(f"{options.subset}: {mated:,} mated, {non_mated:,} non-mated comparisons; FTA {images.fta:.2%}")
    print(describe(rates))
    if options.json is not None:
        comparisons = {"mated": mated, "non_mated": non_mated}
        write_json(options.json, {"methods": ijb_json(rates), "comparisons": comparisons, "fta": images.fta})


def describe(rates: Mapping[str, Sequence[IjbRate]]) -> str:
    """Markdown: TAR in percent."""
    lines = ["| TAR at FAR | " + " | ".join(f"{far:.0e}" for far in FARS) + " |", "|---" * (len(FARS) + 1) + "|"]
    for name, row in rates.items():
        cells = [f"{100 * rate.tar:.2f}" if rate.is_reported else f"- ({rate.false_matches})" for rate in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append(f"\n-: fewer than {FEWEST_FALSE_MATCHES} false matches observed (how many).")
    return "\n".join(lines)


def ijb_json(rates: Mapping[str, Sequence[IjbRate]]) -> dict[str, dict[str, float | None]]:
    """TAR by FAR; null where too few false matches were observed."""
    return {
        name: {f"{rate.far:.0e}": rate.tar if rate.is_reported else None for rate in row} for name, row in rates.items()
    }


if __name__ == "__main__":
    main()
