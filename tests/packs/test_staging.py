"""A pack appears whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from service.packs.staging import move_into_place, staging_directory


def visible(packs_path: Path) -> list[str]:
    return sorted(path.name for path in packs_path.iterdir() if not path.name.startswith("."))


def leftovers(packs_path: Path) -> list[str]:
    return sorted(path.name for path in packs_path.iterdir() if path.name not in (".lock", "tiny"))


def build(packs_path: Path, content: str) -> None:
    with staging_directory(packs_path) as stage:
        (stage / "file").write_text(content)
        move_into_place(stage, packs_path / "tiny")


def test_a_new_pack_and_a_replaced_one(packs_path: Path) -> None:
    for content in ("first", "second"):
        build(packs_path, content)
        assert (packs_path / "tiny" / "file").read_text() == content
    assert leftovers(packs_path) == []
    assert packs_path.stat().st_mode & 0o077 == 0


def test_a_failure_leaves_what_was_there(packs_path: Path) -> None:
    build(packs_path, "first")
    with pytest.raises(RuntimeError), staging_directory(packs_path) as stage:
        (stage / "file").write_text("half")
        raise RuntimeError
    assert (packs_path / "tiny" / "file").read_text() == "first"
    assert leftovers(packs_path) == []


def test_what_an_interrupted_installation_left_is_removed(packs_path: Path) -> None:
    for name in (".building-abc", ".replaced-tiny"):
        (packs_path / name).mkdir(parents=True)
        (packs_path / name / "file").write_text("old")
    build(packs_path, "new")
    assert leftovers(packs_path) == []


def test_a_link_in_the_place_of_the_pack_is_replaced_and_not_followed(packs_path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    packs_path.mkdir(parents=True)
    (packs_path / "tiny").symlink_to(elsewhere)
    build(packs_path, "new")
    assert not (packs_path / "tiny").is_symlink()
    assert (elsewhere / "file").read_text() == "mine"
    assert leftovers(packs_path) == []


def test_one_installation_at_a_time(packs_path: Path) -> None:
    inside: list[int] = []
    together: list[int] = []

    def work(number: int) -> None:
        with staging_directory(packs_path) as stage:
            inside.append(number)
            together.append(len(inside))
            (stage / "file").write_text(str(number))
            move_into_place(stage, packs_path / "tiny")
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 6
    assert visible(packs_path) == ["tiny"]
