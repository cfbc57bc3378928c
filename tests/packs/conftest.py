"""A wheel and the definition of a pack that is built from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.packs import definitions as definitions_module
from service.packs import insightface_packs, installation, listing
from service.packs.definitions import AGGREGATOR_FILE, INSIGHTFACE_DEFINITION, untrained_aggregator
from tests.packs.tiny_networks import write_definition, write_wheel


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return write_wheel(tmp_path / "wheels")


@pytest.fixture
def aggregator() -> Path:
    """An aggregator for embeddings of any width."""
    return untrained_aggregator()


@pytest.fixture
def definitions(tmp_path: Path, wheel: Path, aggregator: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the product looks for definitions: `tiny`, and what the insightface packs share."""
    directory = tmp_path / "definitions"
    write_definition(directory, wheel, aggregator)
    shared = directory / INSIGHTFACE_DEFINITION
    shared.mkdir()
    (shared / AGGREGATOR_FILE).write_bytes(aggregator.read_bytes())
    for module in (definitions_module, installation, listing, insightface_packs):
        monkeypatch.setattr(module, "definitions_path", lambda: directory)
    return directory


@pytest.fixture
def packs_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "packs"
