from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.lfw_pairs import (
    ImagePair,
    best_threshold,
    images_of_pairs,
    measure_accuracy,
    read_pairs,
    templates_of_single_images,
)
from service.types import Aggregation, Embedding


def test_pairs_are_read_with_their_folds(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("2\t1\nA_B\t1\t12\nA_B\t1\tC\t3\nC\t2\t1\nC\t2\tA_B\t4\n")
    pairs = read_pairs(path)
    assert pairs[0] == ImagePair("A_B/A_B_0001.jpg", "A_B/A_B_0012.jpg", True, 0)
    assert pairs[1] == ImagePair("A_B/A_B_0001.jpg", "C/C_0003.jpg", False, 0)
    assert [pair.fold for pair in pairs] == [0, 0, 1, 1]
    assert len(images_of_pairs(pairs)) == 6


def test_a_line_that_is_no_pair_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("1\t1\nA\t1\n")
    with pytest.raises(ValueError, match="line 2"):
        read_pairs(path)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_the_best_threshold_is_the_best_of_all_scores(decisions: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in decisions], dtype=float)
    mated = np.array([is_mated for _, is_mated in decisions])
    found = np.mean((scores >= best_threshold(scores, mated)) == mated)
    assert found == max(np.mean((scores >= threshold) == mated) for threshold in scores)


def test_folds_are_decided_by_the_other_folds_and_a_missing_face_is_a_non_match() -> None:
    def at(angle: float) -> Embedding:
        return Embedding(np.array([np.cos(angle), np.sin(angle)], dtype=np.float32), 10.0)

    embeddings: dict[str, Embedding | None] = {"a": at(0.0), "near": at(0.3), "far": at(1.5), "none": None}
    pairs = [ImagePair("a", "near", True, fold) for fold in range(4)]
    pairs += [ImagePair("a", "far", False, fold) for fold in range(4)]
    assert measure_accuracy(pairs, embeddings).ten_fold == 1.0
    with_failure = measure_accuracy([*pairs, ImagePair("a", "none", True, 0)], embeddings)
    assert with_failure.best == pytest.approx(8 / 9)
    assert with_failure.images_without_face == 1


def test_templates_take_the_place_of_embeddings_and_missing_faces_stay_missing() -> None:
    class Reversing:
        def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
            return [Aggregation(-members[0].vector, 2.0, (0,), (1.0,)) for members in sets]

    right = Embedding(np.array([1.0, 0.0], dtype=np.float32), 10.0)
    templates = templates_of_single_images(Reversing(), {"none": None, "a": right})
    assert templates["none"] is None
    assert templates["a"] is not None and templates["a"].vector.tolist() == [-1.0, 0.0]
