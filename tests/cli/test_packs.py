from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCommand

RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def _empty_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path / "state"))


def test_known_packs_are_listed_with_their_licence(coreface: RunCommand, coreface_json: RunJson) -> None:
    status, listings = coreface_json("packs", "list")
    assert status == 0
    by_name = {listing["name"]: listing for listing in listings}
    assert by_name["opencv-sface"]["current"]
    assert not by_name["opencv-sface"]["installed"]
    assert not by_name["buffalo_s"]["license"]["commercial_use"]
    assert "opencv-sface (current)" in coreface("packs", "list")[1]


def test_an_unknown_pack_is_told(coreface: RunCommand) -> None:
    status, _, err = coreface("packs", "install", "nonesuch")
    assert status == 2
    assert "opencv-sface" in err


def test_terms_must_be_accepted(coreface: RunCommand, coreface_json: RunJson) -> None:
    status, _, err = coreface("packs", "install", "buffalo_s")
    assert status == 2
    assert "--accept-license" in err
    assert coreface_json("packs", "install", "buffalo_s")[1]["error"]["code"] == "license_not_accepted"


def test_a_pack_that_is_not_installed_cannot_be_verified(coreface: RunCommand) -> None:
    status, _, err = coreface("packs", "verify")
    assert status == 2
    assert "coreface packs install opencv-sface" in err


def test_the_installed_default_pack_is_verified(
    coreface: RunCommand, coreface_json: RunJson, default_pack_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(default_pack_path.parents[1]))
    status, answer = coreface_json("packs", "verify")
    assert (status, answer["name"], answer["verified"]) == (0, "opencv-sface", True)
    assert "is installed" in coreface("packs", "install", "opencv-sface")[1]
