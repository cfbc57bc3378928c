from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.sample_sets import find_sample_sets, images_of
from service.errors import SetupError


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def test_loose_files_are_one_set_whatever_their_suffix(tmp_path: Path) -> None:
    folder = make(tmp_path, "b.jpg", "a.dat")
    (found,) = find_sample_sets([folder / "b.jpg", folder / "a.dat"])
    assert [path.name for path in found.files] == ["b.jpg", "a.dat"]
    assert found.read() == (b"b.jpg", b"a.dat")


def test_a_folder_is_one_set_of_its_images_by_name(tmp_path: Path) -> None:
    anna = make(tmp_path / "anna", "2.PNG", "1.jpg", "notes.txt", ".hidden.jpg")
    (found,) = find_sample_sets([anna])
    assert found.name == "anna"
    assert [path.name for path in found.files] == ["1.jpg", "2.PNG"]


def test_a_folder_of_folders_is_one_set_each(tmp_path: Path) -> None:
    for name in ("anna", "bo"):
        make(tmp_path / name, "1.jpg")
    make(tmp_path / "empty")
    make(tmp_path / ".git", "1.jpg")
    assert [found.name for found in find_sample_sets([tmp_path])] == ["anna", "bo"]


def test_files_and_folders_together(tmp_path: Path) -> None:
    anna = make(tmp_path / "anna", "1.jpg")
    loose = make(tmp_path / "loose", "x.jpg") / "x.jpg"
    assert [found.name for found in find_sample_sets([anna, loose])] == ["x", "anna"]


@pytest.mark.parametrize("case", ["mixed", "empty", "missing"])
def test_what_is_not_clear_is_refused(tmp_path: Path, case: str) -> None:
    make(tmp_path / "mixed", "1.jpg")
    make(tmp_path / "mixed" / "anna", "1.jpg")
    make(tmp_path / "empty", "notes.txt")
    with pytest.raises(SetupError):
        find_sample_sets([tmp_path / case])


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (found,) = find_sample_sets([make(tmp_path, "1.jpg") / "1.jpg"])
    found.files[0].unlink()
    with pytest.raises(SetupError, match="cannot be read"):
        found.read()


def test_images_of_an_image_folder(tmp_path: Path) -> None:
    assert images_of(make(tmp_path, "x.bmp", "y.gif")) == (tmp_path / "x.bmp",)
