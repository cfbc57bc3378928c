"""Known images and what a pack's networks answer to them: does this machine compute the same?

The answers are those of ONNX Runtime on a CPU in float32, kept beside the pack in `golden.json`. Whatever runs a
network is held to them when it is loaded: another runtime, another precision, another processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.protocols import PixelNetwork
from service.runtime.manifest import Manifest, Sha256
from service.runtime.pack import GOLDEN_FILE
from service.vision.alignment import ALIGNED_SIDE

FLOAT32_DRIFT = 0.002
"""Largest drift (`measure_drift`) of one that computes in float32; measured: below 0.00001."""
HALF_EMBEDDER_DRIFT = 0.08
"""Of an embedder that computes in 16 bits: 0.08 is a cosine of 0.997. Measured in bfloat16: 0.036 for SFace, 0.024 for
w600k_mbf."""
HALF_DETECTOR_DRIFT = 0.25
"""Of a detector, most of whose outputs belong to no face. Measured: 0.017 for YuNet, 0.17 for SCRFD-500m."""

_FACES = 4
_KEPT_VALUES = 256
_NEGLIGIBLE = 0.01
"""Below this an output is close to nothing, and its relative drift says nothing."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GoldenAnswer(_Strict):
    """Of one network to `golden_images(images, side)`: evenly spaced values of each of its outputs."""

    images: int = Field(gt=0, le=_FACES)
    side: int = Field(gt=0, le=640)
    outputs: tuple[tuple[float, ...], ...] = Field(min_length=1)


class GoldenAnswers(_Strict):
    """Of a pack's detector and embedder, by the SHA-256 of their files."""

    answers: dict[Sha256, GoldenAnswer]


def golden_images(count: int, side: int) -> NDArray[np.uint8]:
    """(count, side, side, 3): slanting bands of light, from whole numbers alone, the same on every machine."""
    image, row, column, channel = np.ogrid[:count, :side, :side, :3]
    bands = np.abs((column * (image + 2) + row * 3 + channel * 17) % 128 - 64)
    rings = np.abs(((row - side // 2) ** 2 + (column - side // 3) ** 2) // side % 64 - 32)
    images: NDArray[np.uint8] = (bands * 2 + rings * 3 + channel * 10).astype(np.uint8)
    return images


def record_golden(manifest: Manifest, detector: PixelNetwork, embedder: PixelNetwork) -> GoldenAnswers:
    """What these networks of the pack answer. Raises `InferenceFailedError`."""
    return GoldenAnswers(
        answers={
            manifest.detector.sha256: _answer(detector, 1, manifest.detector.canvas_sides[0]),
            manifest.embedder.sha256: _answer(embedder, _FACES, ALIGNED_SIDE),
        }
    )


def read_golden(directory: Path) -> GoldenAnswers | None:
    """Of the pack in `directory`; None where it has none that can be read."""
    try:
        return GoldenAnswers.model_validate_json((directory / GOLDEN_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_golden(answers: GoldenAnswers, directory: Path) -> None:
    (directory / GOLDEN_FILE).write_text(answers.model_dump_json() + "\n", encoding="utf-8")


def measure_drift(network: PixelNetwork, expected: GoldenAnswer) -> float:
    """The largest deviation of an output, as a share of the output: root mean squares of both. Infinite where a
    number is not finite or the outputs have other sizes. Raises `InferenceFailedError`."""
    found = _sample(network.run(golden_images(expected.images, expected.side)))
    if [len(values) for values in found] != [len(values) for values in expected.outputs]:
        return np.inf
    drifts = [
        _rms(values - np.array(wanted)) / (_rms(np.array(wanted)) + _NEGLIGIBLE)
        for values, wanted in zip(found, expected.outputs, strict=True)
    ]
    return float(np.nan_to_num(max(drifts), nan=np.inf))


def _answer(network: PixelNetwork, images: int, side: int) -> GoldenAnswer:
    outputs = _sample(network.run(golden_images(images, side)))
    return GoldenAnswer(images=images, side=side, outputs=tuple(tuple(values.tolist()) for values in outputs))


def _sample(outputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.float64]]:
    flat = [np.asarray(output, np.float64).ravel() for output in outputs]
    return [np.round(values[:: max(1, len(values) // _KEPT_VALUES)], 6) for values in flat]


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0
