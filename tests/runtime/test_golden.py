"""Known images, kept answers, and what counts as a deviation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.runtime.golden import (
    GoldenAnswer,
    golden_images,
    measure_drift,
    read_golden,
    record_golden,
    write_golden,
)
from service.runtime.manifest import Manifest
from service.runtime.pack import GOLDEN_FILE
from tests.runtime.packs import manifest_values

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Network:
    """Answers means of the image and its standard deviation, changed."""

    provider = "FakeProvider"

    def __init__(self, change: Change = lambda values: values) -> None:
        self._change = change

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        rows = images_bgr.mean(axis=(2, 3)).astype(np.float32)
        return [self._change(rows), images_bgr.std(axis=(1, 2)).astype(np.float32)]


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.model_validate(manifest_values())


def embedder_answer(manifest: Manifest) -> GoldenAnswer:
    return record_golden(manifest, Network(), Network()).answers[manifest.embedder.sha256]


def test_the_images_are_the_same_everywhere() -> None:
    images = golden_images(4, 112)
    assert (images.shape, images.dtype) == ((4, 112, 112, 3), np.uint8)
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "06e10687de4fe8c8d186e3939bf799bb36b5b47343d75ca809c04bcb28d490ab"
    )
    assert images.std() > 40
    assert not any((images[0] == image).all() for image in images[1:])


def test_the_same_network_does_not_drift(manifest: Manifest) -> None:
    assert measure_drift(Network(), embedder_answer(manifest)) <= 1e-6


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: values * np.float32(1.05), 0.05),
        (lambda values: -values, 2.0),
        (lambda values: values * np.float32(np.nan), np.inf),
        (lambda values: np.concatenate([values, values]), np.inf),
    ],
    ids=["5 per cent more", "turned round", "not finite", "twice as many"],
)
def test_the_worst_output_counts(manifest: Manifest, change: Change, expected: float) -> None:
    assert measure_drift(Network(change), embedder_answer(manifest)) == pytest.approx(expected, rel=0.01)


def test_outputs_close_to_nothing_do_not_drift(manifest: Manifest) -> None:
    answer = GoldenAnswer(images=1, side=64, outputs=((0.0,) * 64, tuple(golden_images(1, 64).std(axis=(1, 2))[0])))
    assert measure_drift(Network(lambda values: np.full_like(values, 1e-5)), answer) < 0.002


def test_kept_with_the_pack(manifest: Manifest, tmp_path: Path) -> None:
    answers = record_golden(manifest, Network(), Network())
    assert {answer.images for answer in answers.answers.values()} == {1, 4}
    write_golden(answers, tmp_path)
    assert read_golden(tmp_path) == answers


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"answers": {"short": {}}}'])
def test_what_cannot_be_read_is_no_golden_answer(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / GOLDEN_FILE).write_bytes(content)
    assert read_golden(tmp_path) is None
