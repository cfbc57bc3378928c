"""`coreface explain` on the real model, in this process."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand

pytestmark = pytest.mark.xdist_group("local_model")


def test_a_set_is_explained_in_words_and_as_a_picture(
    coreface: RunCommand, shared_data: Path, default_pack_path: Path, tmp_path: Path
) -> None:
    folder = shared_data / "lfw" / "Ariel_Sharon"
    pictures = [folder / f"Ariel_Sharon_{number:04d}.jpg" for number in (1, 2, 3)]
    target = tmp_path / "report.png"
    status, out, err = coreface("explain", *pictures, "--output", target)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:4]] == [path.name for path in pictures]
    assert target.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_set_without_a_face_has_no_picture(
    coreface: RunCommand, shared_data: Path, default_pack_path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "report.png"
    status, _, err = coreface("explain", shared_data / "photos" / "no_face_landscape.jpg", "--output", target)
    assert status == 2
    assert "no usable" in err.lower() or "none of the samples" in err.lower()
    assert not target.exists()


def test_several_sets_are_refused(coreface: RunCommand, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    status, _, err = coreface("explain", tmp_path)
    assert status == 2
    assert "one set" in err
