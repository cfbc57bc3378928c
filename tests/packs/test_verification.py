"""Digests, and then what the networks really do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from service.errors import PackError, PackNotInstalledError
from service.packs.installation import install_pack
from service.packs.verification import verify_pack
from tests.packs.tiny_networks import recogniser, yunet_like


@pytest.fixture
def installed(definitions: Path, packs_path: Path, wheel: Path) -> Path:
    return install_pack("tiny", packs_path, from_directory=wheel.parent).directory


def replace(directory: Path, part: str, content: bytes) -> None:
    """Put other bytes in a network's place, and their digest into the manifest."""
    path = directory / "manifest.json"
    values = json.loads(path.read_bytes())
    values[part]["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(values))
    (directory / values[part]["file"]).write_bytes(content)


def test_a_whole_pack(installed: Path) -> None:
    assert verify_pack(installed).name == "tiny"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(PackNotInstalledError):
        verify_pack(tmp_path / "absent")


def test_a_flipped_byte(installed: Path) -> None:
    content = bytearray((installed / "embedder.onnx").read_bytes())
    content[-1] ^= 1
    (installed / "embedder.onnx").write_bytes(content)
    with pytest.raises(PackError, match="sha256"):
        verify_pack(installed)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("detector", recogniser()),
        ("detector", yunet_like(quantised=False)),
        ("embedder", yunet_like(quantised=False)),
        ("aggregator", recogniser()),
        ("aggregator", b"no network"),
    ],
    ids=["recogniser as detector", "one size only", "detector as embedder", "recogniser as aggregator", "no network"],
)
def test_a_network_that_does_something_else(installed: Path, part: str, content: bytes) -> None:
    replace(installed, part, content)
    with pytest.raises(PackError):
        verify_pack(installed)
