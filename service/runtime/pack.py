"""An installed pack: a directory whose every file is verified before anything of it is used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import PackError, PackNotInstalledError
from service.runtime.calibration import Calibration
from service.runtime.manifest import Manifest, ModelFile

MANIFEST_FILE = "manifest.json"
CALIBRATION_FILE = "calibration.json"
GOLDEN_FILE = "golden.json"

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Pack:
    """A verified pack."""

    directory: Path
    manifest: Manifest
    calibration: Calibration | None
    """None: the pack makes templates, but no decisions until it is calibrated."""
    fingerprint: str = field(init=False)
    """The manifest's, which is worked out anew whenever it is asked for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self.manifest.fingerprint)

    @property
    def name(self) -> str:
        return self.manifest.name

    def model_path(self, model: ModelFile) -> Path:
        return self.directory / model.file

    def read_model(self, model: ModelFile) -> bytes:
        """The network, which has the manifest's digest: the file may be another one than when the pack was loaded.

        Raises `PackError`.
        """
        path = self.model_path(model)
        _require_plain(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PackError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
        _compare(path, hashlib.sha256(content).hexdigest(), model.sha256)
        return content


def load_pack(directory: Path, calibration: Path | None = None) -> Pack:
    """Read and verify the pack in `directory`: strict manifest, no links, sha256 of each model file.

    `calibration`: a site's own file, in place of the pack's.

    Raises `PackNotInstalledError` where there is none, `PackError` where something is wrong with it.
    """
    if not (directory / MANIFEST_FILE).is_file():
        raise PackNotInstalledError(
            f"Pack {directory.name!r} is not installed; run `coreface packs install {directory.name}`."
        )
    _require_plain(directory / MANIFEST_FILE)
    manifest = _read(directory / MANIFEST_FILE, Manifest)
    for model in manifest.model_files:
        verify_file(directory / model.file, model.sha256)
    return Pack(directory, manifest, _find_calibration(directory, calibration, manifest))


def _find_calibration(directory: Path, site: Path | None, manifest: Manifest) -> Calibration | None:
    if site is not None:
        return _read_calibration(site, manifest)
    path = directory / CALIBRATION_FILE
    if not (path.exists() or path.is_symlink()):
        return None
    _require_plain(path)
    return _read_calibration(path, manifest)


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
    _require_plain(path)
    _compare(path, file_sha256(path), sha256)


def _require_plain(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise PackError(f"Pack file {path.name!r} is missing or is a link.")


def _compare(path: Path, actual: str, expected: str) -> None:
    if actual != expected:
        raise PackError(f"Pack file {path.name!r} has sha256 {actual}, expected {expected}. Install the pack again.")


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
