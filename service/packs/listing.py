"""Which packs there are: known to the product, installed, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from service.errors import PackError
from service.packs.definitions import definitions_path, load_definitions
from service.packs.insightface_packs import zoo_license, zoo_packs
from service.runtime.manifest import License, Manifest
from service.runtime.pack import MANIFEST_FILE


@dataclass(frozen=True, slots=True)
class PackListing:
    """One pack as the operator sees it."""

    name: str
    license: License
    is_installed: bool
    version: str | None
    """None for a pack whose manifest is made when it is installed."""
    fingerprint: str | None
    """Of the installed pack, by its manifest; `verify_pack` checks the files."""


def list_packs(packs_path: Path) -> list[PackListing]:
    """Every known and every installed pack, by name. Raises `PackError` for a manifest that cannot be read."""
    listings = {name: PackListing(name, zoo_license(), False, None, None) for name in zoo_packs()}
    for name, definition in load_definitions(definitions_path()).items():
        listings[name] = PackListing(name, definition.manifest.license, False, definition.manifest.version, None)
    # Directories that start with a dot are being built.
    for path in sorted(packs_path.glob(f"[!.]*/{MANIFEST_FILE}")):
        manifest = _read_manifest(path)
        listings[manifest.name] = PackListing(
            manifest.name, manifest.license, True, manifest.version, manifest.fingerprint
        )
    return [listings[name] for name in sorted(listings)]


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise PackError(f"The manifest of pack {path.parent.name!r} cannot be read: {error}") from error
