"""The fingerprint covers what can change a template, and only that; everything else is read strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from service.runtime import manifest as manifest_module
from service.runtime.manifest import Manifest
from tests.runtime.packs import manifest_values

Change = Callable[[dict[str, Any]], None]


def changed(path: str, value: object) -> Manifest:
    values = manifest_values()
    place = values
    *parents, last = path.split(".")
    for name in parents:
        place = place[name]
    place[last] = value
    return Manifest.model_validate(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("detector.sha256", "0" * 64),
        ("detector.canvas_sides", [64, 128]),
        ("detector.upscale", True),
        ("detector.score_threshold", 0.6),
        ("detector.nms_iou", 0.4),
        ("detector.turn_below_score", 0.9),
        ("detector.input_range", {"color_order": "rgb", "mean": 0.0, "std": 1.0}),
        ("embedder.sha256", "0" * 64),
        ("embedder.input_range", {"color_order": "bgr", "mean": 127.5, "std": 1.0}),
        ("aggregator.sha256", "0" * 64),
    ],
)
def test_what_can_change_a_template_changes_the_fingerprint(path: str, value: object) -> None:
    assert changed(path, value).fingerprint != Manifest.model_validate(manifest_values()).fingerprint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("version", "2.0.0"),
        ("license.notice", "Other words."),
        ("detector.file", "other.onnx"),
    ],
)
def test_names_and_words_do_not(path: str, value: object) -> None:
    assert changed(path, value).fingerprint == Manifest.model_validate(manifest_values()).fingerprint


def test_so_does_the_version_of_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.model_validate(manifest_values())
    before = manifest.fingerprint
    assert len(before) == 32
    monkeypatch.setattr(manifest_module, "PIPELINE_VERSION", manifest_module.PIPELINE_VERSION + 1)
    assert manifest.fingerprint != before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 2),
        ("name", "../escape"),
        ("name", ".hidden"),
        ("detector.file", "../detector.onnx"),
        ("detector.file", "a/b.onnx"),
        ("detector.file", ".detector.onnx"),
        ("detector.sha256", "A" * 64),
        ("detector.algorithm", "mtcnn"),
        ("detector.canvas_sides", []),
        ("detector.input_range.std", 0),
        ("embedder.landmark_template", "other"),
        ("unknown", 1),
        ("detector.unknown", 1),
    ],
)
def test_what_the_reader_does_not_know_is_refused(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        changed(path, value)
