"""A pack whose networks are any bytes, for what only looks at files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from service.runtime.manifest import Manifest
from service.runtime.pack import MANIFEST_FILE

CONTENTS = {"detector.onnx": b"detector", "embedder.onnx": b"embedder", "aggregator.onnx": b"aggregator"}


def manifest_values() -> dict[str, Any]:
    """What `manifest.json` of such a pack holds."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    input_range = {"color_order": "bgr", "mean": 0.0, "std": 1.0}
    return {
        "schema_version": 1,
        "name": "tiny",
        "version": "1.0.0",
        "license": {"spdx": "MIT", "commercial_use": True, "acceptance_required": False, "notice": "Free."},
        "detector": {
            "file": "detector.onnx",
            "sha256": digests["detector.onnx"],
            "algorithm": "yunet",
            "input_range": input_range,
            "canvas_sides": [64],
            "upscale": False,
            "score_threshold": 0.7,
            "nms_iou": 0.3,
        },
        "embedder": {
            "file": "embedder.onnx",
            "sha256": digests["embedder.onnx"],
            "input_range": input_range,
            "width": 128,
            "landmark_template": "arcface_112",
        },
        "aggregator": {
            "file": "aggregator.onnx",
            "sha256": digests["aggregator.onnx"],
            "method": "coreset_mean",
            "trained": False,
            "core_size": 3,
        },
        "sources": {name: {"kind": "bundled"} for name in CONTENTS},
    }


def write_pack(directory: Path, values: dict[str, Any] | None = None) -> Manifest:
    directory.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.model_validate(values or manifest_values())
    for name, content in CONTENTS.items():
        (directory / name).write_bytes(content)
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return manifest
