"""The definitions that the product ships can be met."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from service.errors import PackError
from service.packs.definitions import AGGREGATOR_FILE, definitions_path, load_definitions
from service.runtime.calibration import Calibration
from service.runtime.manifest import BundledSource, WheelSource, ZooSource
from service.runtime.pack import CALIBRATION_FILE


def test_the_default_pack_is_defined_and_free() -> None:
    definition = load_definitions(definitions_path())["opencv-sface"]
    assert definition.manifest.license.commercial_use
    assert not definition.manifest.license.acceptance_required
    assert definition.manifest.embedder.width == 128


def test_every_file_has_a_source_and_bundled_ones_their_digest() -> None:
    for definition in load_definitions(definitions_path()).values():
        manifest = definition.manifest
        assert definition.directory.name == manifest.name
        assert set(manifest.sources) == {model.file for model in manifest.model_files}
        for model in manifest.model_files:
            source = manifest.sources[model.file]
            if isinstance(source, BundledSource):
                content = (definition.directory / model.file).read_bytes()
                assert hashlib.sha256(content).hexdigest() == model.sha256, f"pin {model.file} of {manifest.name} anew"
            else:
                assert isinstance(source, WheelSource | ZooSource)


def test_a_shipped_calibration_belongs_to_its_pack() -> None:
    for definition in load_definitions(definitions_path()).values():
        assert all((definition.directory / name).is_file() for name in definition.companions)
        if CALIBRATION_FILE in definition.companions:
            calibration = Calibration.model_validate_json((definition.directory / CALIBRATION_FILE).read_bytes())
            assert calibration.fingerprint == definition.manifest.fingerprint, "measure the operating points anew"


def test_a_broken_definition_names_itself(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("{}")
    with pytest.raises(PackError, match="'odd'"):
        load_definitions(tmp_path)


def test_a_directory_without_a_manifest_is_no_definition(definitions: Path) -> None:
    assert (definitions / "insightface" / AGGREGATOR_FILE).is_file()
    assert list(load_definitions(definitions)) == ["tiny"]
