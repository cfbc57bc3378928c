"""Packs from a directory of insightface networks, or through its model zoo."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import LicenseNotAcceptedError, PackError
from service.packs import insightface_packs
from service.packs.definitions import AGGREGATOR_FILE
from service.packs.installation import install_pack
from service.runtime.calibration import Calibration
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE, load_pack
from tests.calibrations import make_calibration
from tests.packs.tiny_networks import WIDTH, recogniser, scrfd_like, yunet_like


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "networks"
    path.mkdir()
    (path / "some_detector.onnx").write_bytes(scrfd_like())
    (path / "some_recogniser.onnx").write_bytes(recogniser())
    (path / "age.onnx").write_bytes(recogniser(side=96))
    (path / "yunet.onnx").write_bytes(yunet_like(quantised=False))
    (path / "notes.txt").write_text("not a network")
    return path


@pytest.mark.usefixtures("definitions")
def test_both_networks_are_found_by_their_graphs(directory: Path, packs_path: Path) -> None:
    pack = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    assert pack.directory == packs_path / "buffalo_s"
    manifest = pack.manifest
    assert pack.model_path(manifest.detector).read_bytes() == scrfd_like()
    assert pack.model_path(manifest.embedder).read_bytes() == recogniser()
    assert (manifest.detector.algorithm, manifest.embedder.width) == ("scrfd", WIDTH)
    assert (manifest.aggregator.method, manifest.aggregator.trained) == ("coreset_mean", False)
    assert not manifest.license.commercial_use
    assert manifest.license.acceptance_required


def test_what_was_trained_for_the_embedder_comes_with_it(
    directory: Path, packs_path: Path, definitions: Path, aggregator: Path
) -> None:
    plain = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True).manifest
    spec = plain.aggregator.model_copy(update={"trained": True, "method": "facecoresetnet"})
    trained = plain.model_copy(update={"aggregator": spec})
    definition = definitions / "buffalo_s"
    definition.mkdir()
    (definition / MANIFEST_FILE).write_text(trained.model_dump_json())
    (definition / AGGREGATOR_FILE).write_bytes(aggregator.read_bytes())
    (definition / CALIBRATION_FILE).write_text(calibration_of(trained.fingerprint).model_dump_json())
    pack = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    assert (pack.fingerprint, pack.manifest.aggregator) == (trained.fingerprint, spec)
    assert pack.calibration is not None
    (directory / "some_detector.onnx").write_bytes(scrfd_like() + b"\x1a\x00")
    other = install_pack("buffalo_sc", packs_path, from_directory=directory, accept_license=True)
    assert other.manifest.aggregator == spec
    assert other.calibration is None, "it was measured with another detector"
    (definition / CALIBRATION_FILE).write_text(calibration_of(trained.fingerprint, 0.4).model_dump_json())
    steps: list[str] = []
    (directory / "some_detector.onnx").write_bytes(scrfd_like())
    with pytest.raises(LicenseNotAcceptedError):
        install_pack("buffalo_s", packs_path)
    install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    install_pack("buffalo_s", packs_path, progress=lambda step, share: steps.append(step))
    assert steps == ["already installed"]


def calibration_of(fingerprint: str, threshold: float = 0.3) -> Calibration:
    return make_calibration(fingerprint, {"fmr_1e-2": threshold}, default="fmr_1e-2")


@pytest.mark.usefixtures("definitions")
def test_the_terms_must_be_accepted(directory: Path, packs_path: Path) -> None:
    with pytest.raises(LicenseNotAcceptedError, match=r"non-commercial research.*--accept-license"):
        install_pack("buffalo_s", packs_path, from_directory=directory)
    assert not (packs_path / "buffalo_s").exists()


@pytest.mark.usefixtures("definitions")
def test_among_several_the_names_of_the_zoo_decide(directory: Path, packs_path: Path) -> None:
    (directory / "det_500m.onnx").write_bytes(scrfd_like() + b"\x1a\x00")
    (directory / "w600k_mbf.onnx").write_bytes(recogniser(seed="other"))
    pack = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    assert pack.model_path(pack.manifest.embedder).read_bytes() == recogniser(seed="other")
    assert pack.manifest.sources["detector.onnx"].model_dump()["file"] == "det_500m.onnx"
    with pytest.raises(PackError, match=r"det_10g\.onnx.*found: det_500m\.onnx, some_detector\.onnx"):
        install_pack("buffalo_l", packs_path, from_directory=directory, accept_license=True)


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("missing", ["some_detector.onnx", "some_recogniser.onnx"])
def test_a_missing_network_is_named(directory: Path, packs_path: Path, missing: str) -> None:
    (directory / missing).unlink()
    with pytest.raises(PackError, match="found: none"):
        install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)


@pytest.mark.usefixtures("definitions")
def test_an_installed_pack_needs_neither_directory_nor_terms(directory: Path, packs_path: Path) -> None:
    install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    steps: list[str] = []
    install_pack("buffalo_s", packs_path, progress=lambda step, share: steps.append(step))
    assert steps == ["already installed"]


@pytest.mark.usefixtures("definitions")
def test_other_networks_replace_the_installed_pack(directory: Path, packs_path: Path) -> None:
    before = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    (directory / "some_recogniser.onnx").write_bytes(recogniser(seed="other"))
    after = install_pack("buffalo_s", packs_path, from_directory=directory, accept_license=True)
    assert after.fingerprint != before.fingerprint
    assert load_pack(packs_path / "buffalo_s").fingerprint == after.fingerprint


@pytest.mark.usefixtures("definitions")
def test_the_zoo_is_reached_through_insightfaces_own_command(
    directory: Path, packs_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    commands: list[list[str]] = []

    def fetch(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        target = tmp_path / ".insightface" / "models" / "antelopev2" / "antelopev2"
        target.mkdir(parents=True)
        (target / "scrfd_10g_bnkps.onnx").write_bytes(scrfd_like())
        (target / "glintr100.onnx").write_bytes(recogniser())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", fetch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    pack = install_pack("antelopev2", packs_path, accept_license=True)
    assert pack.name == "antelopev2"
    assert commands[0][:3] == [sys.executable, "-m", "insightface.commands.insightface_cli"]
    assert commands[0][-1] == "antelopev2"


@pytest.mark.usefixtures("definitions")
def test_a_download_that_fails_says_what_to_do(packs_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no network")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(PackError, match=r"ConnectionError: no network.*--from DIR"):
        install_pack("buffalo_l", packs_path, accept_license=True)


@pytest.mark.usefixtures("definitions")
def test_without_the_package_the_error_says_so(packs_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackError, match=r"not installed.*--from DIR"):
        install_pack("buffalo_l", packs_path, accept_license=True)


def test_the_command_exists_in_the_package() -> None:
    pytest.importorskip("insightface")
    result = subprocess.run(
        [sys.executable, "-m", "insightface.commands.insightface_cli", "model.download", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--root" in result.stdout


def test_names() -> None:
    assert set(insightface_packs.zoo_packs()) == {"antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc"}
