"""The wheel has the same bytes wherever and whenever it is built, and nothing in it that should not be."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from service.runtime.manifest import BundledSource, Manifest
from tests.supply_chain.requirements import ROOT

EPOCH = "1767225600"
"""What stands for the time of the commit."""


def build(source: Path, *, umask: int, zone: str, seed: str) -> Path:
    """The wheel of a copy of the tree at `source`."""
    source.mkdir()
    old = os.umask(umask)
    try:
        for name in ("service", "models"):
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=copy
            )
        for name in ("pyproject.toml", "README.md", ".gitignore"):
            copy(ROOT / name, source / name)
        environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "TZ": zone, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(source / "dist")]
        subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    finally:
        os.umask(old)
    [wheel] = (source / "dist").glob("*.whl")
    return wheel


def copy(source: str | Path, target: str | Path) -> None:
    """The content alone: times and rights are of now and here."""
    Path(target).write_bytes(Path(source).read_bytes())


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("wheels")
    return (
        build(root / "here", umask=0o022, zone="UTC", seed="1"),
        build(root / "somewhere-else", umask=0o077, zone="Asia/Kathmandu", seed="2"),
    )


def test_two_builds_are_the_same(wheels: tuple[Path, Path]) -> None:
    digests = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    assert len(digests) == 1


def test_what_is_in_it(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        names = archive.namelist()
        tops = {name.partition("/")[0] for name in names}
        assert {re.sub(r"-.*\.", ".", top) for top in tops} == {"service", "models", "coreface.dist-info"}
        console = {path.name for path in (ROOT / "service" / "console").iterdir() if path.suffix != ".pyc"}
        assert {f"service/console/{name}" for name in console - {"__pycache__"}} <= set(names)
        assert not [name for name in names if name.endswith((".pyc", ".pkl", ".pt", ".pth", ".ckpt", ".joblib"))]
        manifests = [name for name in names if re.fullmatch(r"service/packs/definitions/[^/]+/manifest\.json", name)]
        assert manifests
        for name in manifests:
            manifest = Manifest.model_validate_json(archive.read(name))
            for model in manifest.model_files:
                if isinstance(manifest.sources[model.file], BundledSource):
                    content = archive.read(f"{name.rpartition('/')[0]}/{model.file}")
                    assert hashlib.sha256(content).hexdigest() == model.sha256


def test_the_target_builds_with_what_is_locked() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nwheel:")[2].partition("\nlock:")[0]
    assert "SOURCE_DATE_EPOCH" in recipe
    assert "--build-constraint requirements/build.txt" in recipe
    assert "--require-hashes" in recipe


def test_the_version_is_that_of_the_tag(tmp_path: Path) -> None:
    """In a repository; and in an archive of one, where `git archive` has written it down."""
    for name in ("pyproject.toml", "README.md", ".gitattributes", ".git_archival.txt"):
        copy(ROOT / name, tmp_path / name)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]

    def run(*words: str) -> str:
        command = [sys.executable, *words] if words[0] == "-m" else [*git, *words]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    run("init", "-q")
    run("add", ".")
    run("commit", "-q", "-m", "one")
    run("tag", "v3.2.1")
    assert run("-m", "hatchling", "version").strip() == "3.2.1"
    (tmp_path / "more").write_text("x")
    run("add", ".")
    run("commit", "-q", "-m", "two")
    assert run("-m", "hatchling", "version").strip().startswith("3.2.2.dev1+g")
    run("tag", "v3.3.0")
    (tmp_path / "archive").mkdir()
    run("archive", "-o", "archive/source.tar", "HEAD")
    shutil.unpack_archive(tmp_path / "archive" / "source.tar", tmp_path / "archive")
    shutil.rmtree(tmp_path / ".git")
    command = [sys.executable, "-m", "hatchling", "version"]
    found = subprocess.run(command, cwd=tmp_path / "archive", check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "3.3.0"


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert text.partition("## [Unreleased]")[2].strip().startswith("### ")
