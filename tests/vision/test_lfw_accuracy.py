"""The default pack on the 6,000 pairs of LFW, through our own decoding, detection and alignment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.vision.real_pack import open_pack

PAIRS = 6_000
FOLDS = 10
MODEL_CARD_ACCURACY = 0.9888


def read_pairs(path: Path) -> list[tuple[str, str, bool]]:
    """Relative paths of both pictures, and whether they show the same person."""
    pairs = []
    for line in path.read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 3:
            left, right = (fields[0], fields[1]), (fields[0], fields[2])
        else:
            left, right = (fields[0], fields[1]), (fields[2], fields[3])
        names = [f"{person}/{person}_{int(number):04}.jpg" for person, number in (left, right)]
        pairs.append((names[0], names[1], len(fields) == 3))
    return pairs


def fold_accuracy(scores: NDArray[np.float64], mated: NDArray[np.bool_]) -> float:
    """Mean over the folds of the accuracy at the threshold that is best on the other nine."""
    folds = np.repeat(np.arange(FOLDS), PAIRS // FOLDS)
    accuracies = []
    for fold in range(FOLDS):
        train = folds != fold
        thresholds = np.unique(scores[train])
        right = [((scores[train] >= threshold) == mated[train]).mean() for threshold in thresholds]
        best = thresholds[int(np.argmax(right))]
        accuracies.append(((scores[~train] >= best) == mated[~train]).mean())
    return float(np.mean(accuracies))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_accuracy_on_the_standard_pairs(
    shared_data: Path, default_pack_path: Path, record_property: pytest.RecordProperty
) -> None:
    pairs = read_pairs(shared_data / "lfw_pairs.txt")
    assert len(pairs) == PAIRS
    names = sorted({name for left, right, _ in pairs for name in (left, right)})
    pack = open_pack(default_pack_path)
    vectors: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(names), 64):
        chunk = names[start : start + 64]
        for name, embedding in zip(
            chunk, pack.embed([(shared_data / "lfw" / name).read_bytes() for name in chunk]), strict=True
        ):
            assert embedding is not None, name
            vectors[name] = embedding.vector
    scores = np.array([float(vectors[left] @ vectors[right]) for left, right, _ in pairs])
    accuracy = fold_accuracy(scores, np.array([mated for _, _, mated in pairs]))
    record_property("lfw_accuracy", accuracy)
    # The goal is 0.994 and it is missed: see the model card. This holds what is reached.
    assert accuracy >= MODEL_CARD_ACCURACY - 0.001, accuracy
