"""An installed pack: a directory whose every file is verified before anything of it is used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import PackError, PackNotInstalledError
from service.runtime.calibration import Calibration
from service.runtime.manifest import Manifest, ModelFile

MANIFEST_FILE = "manifest.json"
CALIBRATION_FILE = "calibration.json"

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Pack:
    """A verified pack."""

    directory: Path
    manifest: Manifest
    calibration: Calibration | None
    """None: the pack makes templates, but no decisions until it is calibrated."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def model_path(self, model: ModelFile) -> Path:
        return self.directory / model.file


def load_pack(directory: Path, calibration: Path | None = None) -> Pack:
    """Read and verify the pack in `directory`: strict manifest, no links, sha256 of each model file.

    `calibration`: a site's own file, in place of the pack's.

    Raises `PackNotInstalledError` where there is none, `PackError` where something is wrong with it.
    """
    if not (directory / MANIFEST_FILE).is_file():
        raise PackNotInstalledError(
            f"Pack {directory.name!r} is not installed; run `coreface packs install {directory.name}`."
        )
    manifest = _read(directory / MANIFEST_FILE, Manifest)
    for model in manifest.model_files:
        verify_file(directory / model.file, model.sha256)
    path = calibration or directory / CALIBRATION_FILE
    measured = _read_calibration(path, manifest) if calibration or path.is_file() else None
    return Pack(directory, manifest, measured)


def _read_calibration(path: Path, manifest: Manifest) -> Calibration:
    calibration = _read(path, Calibration)
    if calibration.fingerprint != manifest.fingerprint:
        raise PackError(
            f"Pack {manifest.name!r}: {path.name} was measured on fingerprint {calibration.fingerprint}, the pack has "
            f"{manifest.fingerprint}."
        )
    return calibration


def file_sha256(path: Path) -> str:
    """Hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify_file(path: Path, sha256: str) -> None:
    """Raises `PackError` unless `path` is a plain file with this digest."""
    if path.is_symlink() or not path.is_file():
        raise PackError(f"Pack file {path.name!r} is missing or is a link.")
    actual = file_sha256(path)
    if actual != sha256:
        raise PackError(f"Pack file {path.name!r} has sha256 {actual}, expected {sha256}. Install the pack again.")


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PackError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in first["loc"])
        fault = f"{where}: {what}" if where else what
        raise PackError(f"{str(path)!r} is no valid {model.__name__.lower()} ({fault}).") from error
