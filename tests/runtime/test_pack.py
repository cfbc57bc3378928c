"""Every file is verified before anything of a pack is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.errors import PackError, PackNotInstalledError
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE, load_pack
from tests.calibrations import make_calibration
from tests.runtime.packs import CONTENTS, manifest_values, write_pack


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_pack(tmp_path / "tiny")
    return tmp_path / "tiny"


def write_calibration(path: Path, fingerprint: str) -> None:
    path.write_text(make_calibration(fingerprint).model_dump_json())


def test_a_whole_pack(directory: Path) -> None:
    pack = load_pack(directory)
    assert pack.name == "tiny"
    assert pack.model_path(pack.manifest.embedder).read_bytes() == b"embedder"
    assert pack.calibration is None


def test_the_packs_own_calibration(directory: Path) -> None:
    write_calibration(directory / CALIBRATION_FILE, load_pack(directory).fingerprint)
    assert load_pack(directory).calibration == make_calibration(load_pack(directory).fingerprint)


def test_a_sites_calibration_takes_its_place(directory: Path, tmp_path: Path) -> None:
    write_calibration(directory / CALIBRATION_FILE, load_pack(directory).fingerprint)
    own = make_calibration(load_pack(directory).fingerprint, {"fmr_1e-2": 0.7}, default="fmr_1e-2")
    (tmp_path / "site.json").write_text(own.model_dump_json())
    assert load_pack(directory, tmp_path / "site.json").calibration == own
    with pytest.raises(PackError, match=r"absent\.json' cannot be read: No such file"):
        load_pack(directory, tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text('{"schema_version": 2}')
    with pytest.raises(PackError, match=r"broken\.json' is no valid calibration \(fingerprint: Field required\)\.$"):
        load_pack(directory, tmp_path / "broken.json")
    edges = json.loads(make_calibration(load_pack(directory).fingerprint, edges=(9.0, 11.0)).model_dump_json())
    (tmp_path / "falling.json").write_text(json.dumps({**edges, "level_edges": [11.0, 9.0]}))
    with pytest.raises(PackError, match=r"falling\.json' is no valid calibration \(the edges of the levels rise\)\.$"):
        load_pack(directory, tmp_path / "falling.json")


def test_a_calibration_of_another_pack_is_refused(directory: Path) -> None:
    write_calibration(directory / CALIBRATION_FILE, "0" * 32)
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


@pytest.mark.parametrize("name", [*CONTENTS, MANIFEST_FILE, CALIBRATION_FILE])
def test_a_link_is_refused_even_to_the_right_bytes(directory: Path, tmp_path: Path, name: str) -> None:
    write_calibration(directory / CALIBRATION_FILE, load_pack(directory).fingerprint)
    real = tmp_path / "elsewhere"
    (directory / name).rename(real)
    (directory / name).symlink_to(real)
    with pytest.raises(PackError, match=f"{name}.*link"):
        load_pack(directory)


def test_a_calibration_that_leads_nowhere_is_not_taken_for_none(directory: Path, tmp_path: Path) -> None:
    (directory / CALIBRATION_FILE).symlink_to(tmp_path / "absent")
    with pytest.raises(PackError, match="link"):
        load_pack(directory)


def test_a_sites_calibration_may_be_mounted_as_a_link(directory: Path, tmp_path: Path) -> None:
    write_calibration(tmp_path / "mounted.json", load_pack(directory).fingerprint)
    (tmp_path / "site.json").symlink_to(tmp_path / "mounted.json")
    assert load_pack(directory, tmp_path / "site.json").calibration is not None


@pytest.mark.parametrize(
    "file", ["../elsewhere.onnx", "sub/../../elsewhere.onnx", "/etc/hostname", "..", "a\\b", "a\nb"]
)
def test_no_name_leads_out_of_the_pack(directory: Path, tmp_path: Path, file: str) -> None:
    (directory / "detector.onnx").rename(tmp_path / "elsewhere.onnx")
    values = manifest_values()
    values["detector"]["file"] = file
    (directory / MANIFEST_FILE).write_text(json.dumps(values))
    with pytest.raises(PackError, match=r"no valid manifest \(detector\.file"):
        load_pack(directory)


@pytest.mark.parametrize("name", list(CONTENTS))
def test_what_is_read_later_is_checked_again(directory: Path, name: str) -> None:
    pack = load_pack(directory)
    [model] = [model for model in pack.manifest.model_files if model.file == name]
    assert pack.read_model(model) == CONTENTS[name]
    (directory / name).write_bytes(b"another network")
    with pytest.raises(PackError, match=f"{name}.*sha256"):
        pack.read_model(model)
    (directory / name).unlink()
    with pytest.raises(PackError, match=name):
        pack.read_model(model)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1'])
@pytest.mark.parametrize("file", [MANIFEST_FILE, CALIBRATION_FILE])
def test_a_broken_description_is_refused(directory: Path, file: str, content: str) -> None:
    (directory / file).write_text(content)
    with pytest.raises(PackError, match=file):
        load_pack(directory)
