"""`coreface-evaluate lfw-pairs`: the embedder on the 6,000 pairs of LFW, through the service's own vision.

Protocol: 10 folds of 300 mated and 300 non-mated pairs; each fold is decided at the threshold that is best on the
other nine ("image-restricted" view 2). An image without a usable face makes its pair a non-match.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.aggregation.extraction import PackVision
from models.commands import data_parser, named_pack, progress_bar, write_json
from service.protocols import SetAggregator
from service.runtime.onnx import load_session
from service.types import Embedding
from service.vision.aggregation import OnnxSetAggregator

_NO_FACE_SCORE = -1.0
_CHUNK = 4


@dataclass(frozen=True, slots=True)
class ImagePair:
    """One comparison of the protocol."""

    first: str
    """Path below the `lfw` folder."""
    second: str
    mated: bool
    fold: int


@dataclass(frozen=True, slots=True)
class LfwAccuracy:
    """Shares of right decisions, 0..1."""

    ten_fold: float
    """Mean over the folds, thresholds from the other nine: the figure of the LFW protocol."""
    ten_fold_deviation: float
    """Standard deviation over the folds."""
    best: float
    """At the one threshold that is best on all pairs."""
    best_threshold: float
    pairs: int
    images_without_face: int


def read_pairs(path: Path) -> list[ImagePair]:
    """Parse `pairs.txt`: folds of mated lines (name, number, number), then non-mated ones (name, number, name, number).

    Raises ValueError for a line of any other shape.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    per_fold = 2 * int(lines[0].split()[1])
    pairs = []
    for index, line in enumerate(lines[1:]):
        fields = line.split()
        if len(fields) == 3:
            name, first, second = fields
            pairs.append(ImagePair(_image(name, first), _image(name, second), True, index // per_fold))
        elif len(fields) == 4:
            name, first, other, second = fields
            pairs.append(ImagePair(_image(name, first), _image(other, second), False, index // per_fold))
        else:
            raise ValueError(f"{path.name}: line {index + 2} is no pair")
    return pairs


def embed_images(
    vision: PackVision, folder: Path, images: list[str], progress: Callable[[int, int], None]
) -> dict[str, Embedding | None]:
    """The embedding of each image below `folder`, None where the service would reject it. Two threads."""
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    found: dict[str, Embedding | None] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = pool.map(lambda chunk: vision.embed_files([folder / image for image in chunk]), chunks)
        for chunk, embeddings in zip(chunks, answers, strict=True):
            found.update(zip(chunk, embeddings, strict=True))
            progress(len(found), len(images))
    return found


def templates_of_single_images(
    aggregator: SetAggregator, embeddings: dict[str, Embedding | None]
) -> dict[str, Embedding | None]:
    """What the service compares when each side is one image: its template in place of its embedding."""
    found = {image: embedding for image, embedding in embeddings.items() if embedding is not None}
    aggregations = aggregator.aggregate([[embedding] for embedding in found.values()])
    templates = {image: Embedding(made.vector, made.norm) for image, made in zip(found, aggregations, strict=True)}
    return {image: templates.get(image) for image in embeddings}


def measure_accuracy(pairs: list[ImagePair], embeddings: dict[str, Embedding | None]) -> LfwAccuracy:
    """Accuracy of cosine decisions on the pairs."""
    scores = np.array([_score(embeddings[pair.first], embeddings[pair.second]) for pair in pairs])
    mated = np.array([pair.mated for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    accuracies = []
    for fold in np.unique(folds):
        threshold = best_threshold(scores[folds != fold], mated[folds != fold])
        accuracies.append(_accuracy(scores[folds == fold], mated[folds == fold], threshold))
    threshold = best_threshold(scores, mated)
    return LfwAccuracy(
        ten_fold=float(np.mean(accuracies)),
        ten_fold_deviation=float(np.std(accuracies)),
        best=_accuracy(scores, mated, threshold),
        best_threshold=threshold,
        pairs=len(pairs),
        images_without_face=sum(embedding is None for embedding in embeddings.values()),
    )


def best_threshold(scores: NDArray[np.float64], mated: NDArray[np.bool_]) -> float:
    """The lowest of the scores at which deciding `score >= threshold` is right most often."""
    order = np.argsort(scores, kind="stable")
    right_below = np.concatenate([[0], np.cumsum(~mated[order])[:-1]])  # non-mated below each score
    right_above = mated.sum() - np.concatenate([[0], np.cumsum(mated[order])[:-1]])
    right = right_below + right_above
    # Equal scores are decided alike: only the first of them is a possible threshold.
    first_of_equal = np.concatenate([[True], np.diff(scores[order]) > 0])
    return float(scores[order][np.argmax(np.where(first_of_equal, right, -1))])


def main(arguments: list[str] | None = None) -> None:
    """Prints the accuracy of embeddings and of one-image templates and writes lfw-pairs.json."""
    parser = data_parser(
        "coreface-evaluate lfw-pairs",
        "Measure the embedder of a pack on the 6,000 LFW pairs (two to four minutes on 2 cores).",
    )
    parser.add_argument("--output", type=Path, default=Path("artefacts/evaluation"), help="directory for the report")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    pairs = read_pairs(options.data / "lfw_pairs.txt")
    images = images_of_pairs(pairs)
    with progress_bar("embedding the images of the pairs") as show:
        embeddings = embed_images(PackVision.load(pack), options.data / "lfw", images, show)
    session = load_session(pack.model_path(pack.manifest.aggregator), threads=0)
    measured = {
        "embeddings": measure_accuracy(pairs, embeddings),
        "templates of one image": measure_accuracy(
            pairs, templates_of_single_images(OnnxSetAggregator(session), embeddings)
        ),
    }
    write_json(options.output / "lfw-pairs.json", {name: asdict(accuracy) for name, accuracy in measured.items()})
    for name, accuracy in measured.items():
        print(
            f"{name}: {accuracy.pairs} pairs, {accuracy.images_without_face} of {len(images)} images without a usable "
            f"face: 10-fold accuracy {accuracy.ten_fold:.4%} (deviation {accuracy.ten_fold_deviation:.4%}), "
            f"best {accuracy.best:.4%} at {accuracy.best_threshold:.4f}"
        )


def images_of_pairs(pairs: list[ImagePair]) -> list[str]:
    """Every image that some pair names, once, sorted."""
    return sorted({image for pair in pairs for image in (pair.first, pair.second)})


def _image(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def _score(first: Embedding | None, second: Embedding | None) -> float:
    if first is None or second is None:
        return _NO_FACE_SCORE
    return float(np.dot(first.vector.astype(np.float64), second.vector.astype(np.float64)))


def _accuracy(scores: NDArray[np.float64], mated: NDArray[np.bool_], threshold: float) -> float:
    return float(np.mean((scores >= threshold) == mated))


if __name__ == "__main__":
    main()
