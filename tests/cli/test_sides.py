from __future__ import annotations

import base64
from pathlib import Path

import pytest

from service.cli.sides import read_side, split_sides
from service.errors import SetupError

POLICIES = {"face_policy": "largest"}


def test_sides_without_a_divider_are_refused() -> None:
    for arguments in (["a"], ["a", "b"], [], ["\0--"], ["a", "\0--"], ["\0--", "b"]):
        with pytest.raises(SetupError, match="verify A"):
            split_sides(arguments)
    assert split_sides(["a", "b", "\0--", "c"]) == (["a", "b"], ["c"])


def test_a_template_id_is_one_unless_a_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_side(["A" * 22], POLICIES) == {"template_id": "A" * 22}
    (tmp_path / ("A" * 22)).write_bytes(b"x")
    assert read_side(["A" * 22], {"face_policy": "only"}) == {"samples": ["eA=="], "face_policy": "only"}


def test_files_and_folders_are_samples(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "2.png").write_bytes(b"two")
    side = read_side([str(tmp_path / "1.jpg"), str(tmp_path / "folder")], POLICIES)
    assert [base64.b64decode(sample) for sample in side["samples"]] == [b"one", b"two"]  # type: ignore[attr-defined]


def test_a_sealed_template_stands_alone(tmp_path: Path) -> None:
    sealed = tmp_path / "anna.coreface"
    sealed.write_bytes(b"sealed")
    assert read_side([str(sealed)], POLICIES) == {"sealed_template": base64.b64encode(b"sealed").decode()}
    with pytest.raises(SetupError, match="only thing"):
        read_side([str(sealed), str(sealed)], POLICIES)


@pytest.mark.parametrize("argument", ["no-such-file.jpg", "A" * 21])
def test_what_is_nothing_is_told(argument: str) -> None:
    with pytest.raises(SetupError, match="neither"):
        read_side([argument], POLICIES)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no images"):
        read_side([str(tmp_path)], POLICIES)
