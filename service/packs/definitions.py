"""The packs that the product knows how to build: one directory each, with the manifest to be met."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from service.errors import PackError
from service.runtime.manifest import AggregatorSpec, Manifest
from service.runtime.pack import CALIBRATION_FILE, GOLDEN_FILE, MANIFEST_FILE, file_sha256

MODEL_CARD_FILE = "MODEL_CARD.md"
AGGREGATOR_FILE = "aggregator.onnx"
INSIGHTFACE_DEFINITION = "insightface"
"""Holds the untrained aggregator of packs whose manifests are written at installation. A definition with the embedder
of one, such as `buffalo_s`, holds what was trained and measured for it."""


@dataclass(frozen=True, slots=True)
class PackDefinition:
    """A bundled recipe: the manifest pins every file that a build must come to."""

    directory: Path
    manifest: Manifest

    @property
    def companions(self) -> tuple[str, ...]:
        """Files copied beside the networks as they are: calibration, golden answers and model card, where there are
        any."""
        names = (CALIBRATION_FILE, GOLDEN_FILE, MODEL_CARD_FILE)
        return tuple(name for name in names if (self.directory / name).is_file())


def definitions_path() -> Path:
    """Inside an installed wheel, or `models/packs` of a checkout."""
    packaged = Path(__file__).parent / "definitions"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "models" / "packs"


def untrained_aggregator() -> Path:
    """The coreset mean, for embeddings of any width."""
    return definitions_path() / INSIGHTFACE_DEFINITION / AGGREGATOR_FILE


def untrained_aggregator_spec() -> AggregatorSpec:
    """What a manifest says of it."""
    return AggregatorSpec(
        file=AGGREGATOR_FILE,
        sha256=file_sha256(untrained_aggregator()),
        method="coreset_mean",
        trained=False,
        core_size=3,
    )


def load_definitions(directory: Path) -> dict[str, PackDefinition]:
    """Every definition with a manifest below `directory`, by name. Raises `PackError` for a broken one."""
    found = [_load(path.parent) for path in sorted(directory.glob(f"*/{MANIFEST_FILE}"))]
    return {definition.manifest.name: definition for definition in found}


def _load(directory: Path) -> PackDefinition:
    try:
        return PackDefinition(directory, Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes()))
    except ValidationError as error:
        raise PackError(f"The definition of pack {directory.name!r} is broken: {error}") from error
