"""Every file is verified before anything of a pack is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import PackError, PackNotInstalledError, UnknownOperatingPointError
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE, load_pack
from tests.runtime.packs import CONTENTS, write_pack


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_pack(tmp_path / "tiny")
    return tmp_path / "tiny"


def point(name: str, fmr: float, threshold: float) -> dict[str, Any]:
    return {
        "name": name,
        "fmr": fmr,
        "threshold": threshold,
        "threshold_interval": [threshold - 0.01, threshold + 0.01],
        "false_matches": 10,
        "comparisons": 10_000,
        "fnmr": 0.01,
        "mated_comparisons": 1_000,
    }


def write_calibration(directory: Path, **changes: object) -> None:
    values = {
        "schema_version": 1,
        "fingerprint": load_pack(directory).fingerprint,
        "data": "two people",
        "command": "measure",
        "default_operating_point": "fmr_1e-3",
        "operating_points": [point("fmr_1e-3", 1e-3, 0.4), point("fmr_1e-2", 1e-2, 0.3), point("fmr_1e-4", 1e-4, 0.5)],
    }
    (directory / CALIBRATION_FILE).write_text(json.dumps(values | changes))


def test_a_whole_pack(directory: Path) -> None:
    pack = load_pack(directory)
    assert pack.name == "tiny"
    assert pack.model_path(pack.manifest.embedder).read_bytes() == b"embedder"
    assert pack.operating_points == ()


def test_operating_points_by_falling_fmr(directory: Path) -> None:
    write_calibration(directory)
    pack = load_pack(directory)
    assert [found.name for found in pack.operating_points] == ["fmr_1e-2", "fmr_1e-3", "fmr_1e-4"]
    assert pack.operating_point(None).threshold == 0.4
    assert pack.operating_point("fmr_1e-4").threshold == 0.5
    with pytest.raises(UnknownOperatingPointError, match="fmr_1e-2"):
        pack.operating_point("fmr_1e-6")


def test_without_calibration_no_operating_point_is_known(directory: Path) -> None:
    with pytest.raises(UnknownOperatingPointError, match="no calibration"):
        load_pack(directory).operating_point(None)


def test_a_calibration_of_another_pack_is_refused(directory: Path) -> None:
    write_calibration(directory, fingerprint="0" * 32)
    with pytest.raises(PackError, match="was measured on"):
        load_pack(directory)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(PackNotInstalledError, match="packs install"):
        load_pack(tmp_path / "absent")


@pytest.mark.parametrize("name", list(CONTENTS))
def test_one_flipped_byte_is_refused(directory: Path, name: str) -> None:
    content = bytearray((directory / name).read_bytes())
    content[3] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(PackError, match=name):
        load_pack(directory)


@pytest.mark.parametrize("name", list(CONTENTS))
def test_a_missing_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(PackError, match=name):
        load_pack(directory)


def test_a_link_is_refused_even_to_the_right_bytes(directory: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.onnx"
    (directory / "detector.onnx").rename(real)
    (directory / "detector.onnx").symlink_to(real)
    with pytest.raises(PackError, match="link"):
        load_pack(directory)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1'])
@pytest.mark.parametrize("file", [MANIFEST_FILE, CALIBRATION_FILE])
def test_a_broken_description_is_refused(directory: Path, file: str, content: str) -> None:
    (directory / file).write_text(content)
    with pytest.raises(PackError, match=file):
        load_pack(directory)
