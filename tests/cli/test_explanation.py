"""`coreface explain` on the real model, in this process."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
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
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows[1:4]] == [path.name for path in pictures]
    assert sorted(row[4] for row in rows[1:4]) == ["0", "1", "2"], "core, numbered as in the answer"
    assert "consistent: yes" in out.splitlines()
    assert target.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_set_without_a_face_is_shown_with_its_reason(
    coreface: RunCommand, shared_data: Path, default_pack_path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "report.png"
    empty = tmp_path / "text.jpg"
    empty.write_text("no picture at all")
    pictures = [shared_data / "photos" / "no_face_landscape.jpg", empty]
    status, out, err = coreface("explain", *pictures, "--output", target)
    assert status == 1
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [
        ["no_face_landscape.jpg", "no_face"],
        ["text.jpg", "unsupported_type"],
    ]
    assert "consistent: not known" in out.splitlines()
    assert err.lower().startswith("coreface: none of the samples")
    sheet = cv2.imread(str(target))
    one = sheet[:, : sheet.shape[1] // 2], sheet[:, sheet.shape[1] // 2 :]
    assert one[0][20:200, 20:200].std() > 20.0, "what was decoded is shown"
    assert one[1][20:200, 20:200].std() == 0.0, "an empty tile for what cannot be"


def test_a_refused_set_is_shown_with_its_groups(
    coreface: RunCommand,
    coreface_json: Callable[..., tuple[int, Any]],
    shared_data: Path,
    default_pack_path: Path,
    tmp_path: Path,
) -> None:
    target = tmp_path / "report.png"
    people = shared_data / "lfw"
    pictures = [people / "Hans_Blix" / f"Hans_Blix_{number:04d}.jpg" for number in (1, 2, 3, 4)]
    pictures.append(people / "Colin_Powell" / "Colin_Powell_0007.jpg")
    words = ("explain", *pictures, "--consistency-policy", "refuse", "--output", target)
    status, out, err = coreface(*words)
    assert status == 1
    rows = [line.split() for line in out.splitlines()[1:6]]
    assert [(row[1], row[3]) for row in rows] == [("inconsistent", group) for group in "00001"]
    assert "consistent: no" in out.splitlines()
    assert "do not look like one person" in err
    assert target.read_bytes().startswith(b"\x89PNG")
    target.unlink()
    status, answer = coreface_json(*words)
    assert (status, answer["error"]["code"]) == (1, "inconsistent_set")
    assert [sample["group"] for sample in answer["error"]["samples"]] == [0, 0, 0, 0, 1]
    assert target.exists()


def test_several_sets_are_refused(coreface: RunCommand, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    status, _, err = coreface("explain", tmp_path)
    assert status == 2
    assert "one set" in err
