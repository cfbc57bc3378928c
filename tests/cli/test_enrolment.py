from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.cli.conftest import RunCommand

FreshPng = Callable[[], bytes]
RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture
def url(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"


@pytest.fixture
def people(tmp_path: Path, fresh_png: FreshPng) -> Path:
    """Two subjects of two images each."""
    for name in ("anna", "bo"):
        (tmp_path / "people" / name).mkdir(parents=True)
        for index in range(2):
            (tmp_path / "people" / name / f"{index}.png").write_bytes(fresh_png())
    return tmp_path / "people"


def test_a_folder_becomes_a_template(coreface_json: RunJson, url: str, people: Path) -> None:
    status, answer = coreface_json("enrol", people / "anna", "--url", url)
    assert status == 0
    (entry,) = answer["templates"]
    assert entry["name"] == "anna"
    assert len(entry["template_id"]) == 22
    assert [sample["status"] for sample in entry["samples"]] == ["used", "used"]
    assert [Path(file).name for file in entry["files"]] == ["0.png", "1.png"]


def test_a_folder_of_folders_becomes_one_template_each(coreface: RunCommand, url: str, people: Path) -> None:
    status, out, err = coreface("enrol", people, "--url", url)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["set", "anna", "bo"]


def test_a_set_that_fails_fails_alone_and_is_told(
    coreface_json: RunJson, coreface: RunCommand, api: RunningApi, url: str, people: Path
) -> None:
    api.engine.faceless |= {digest_sample(path.read_bytes()) for path in (people / "bo").iterdir()}
    status, answer = coreface_json("enrol", people, "--url", url)
    assert status == 1
    anna, bo = answer["templates"]
    assert "template_id" in anna
    assert bo["error"]["code"] == "no_usable_sample"
    status, out, _ = coreface("enrol", people / "bo", "--url", url)
    assert status == 1
    assert "no_face" in out


def test_a_repeated_set_says_so(coreface: RunCommand, url: str, people: Path) -> None:
    coreface("enrol", people / "anna", "--url", url)
    assert "cached" in coreface("enrol", people / "anna", "--url", url)[1]


def test_the_sealed_template_is_written_for_this_user_alone(
    coreface_json: RunJson, url: str, people: Path, tmp_path: Path, api: RunningApi
) -> None:
    target = tmp_path / "anna.coreface"
    status, answer = coreface_json("enrol", people / "anna", "--url", url, "--output", target)
    assert status == 0
    assert "sealed_template" not in answer["templates"][0]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert api.sealer.unseal(target.read_bytes()).template_id == answer["templates"][0]["template_id"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.coreface", "people"]


def test_output_takes_one_set(coreface: RunCommand, url: str, people: Path) -> None:
    status, _, err = coreface("enrol", people, "--url", url, "--output", "x.coreface")
    assert status == 2
    assert "one set" in err


def test_no_service_is_told_with_what_to_do(
    coreface: RunCommand, coreface_json: RunJson, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_URL", "http://127.0.0.1:1")
    status, _, err = coreface("enrol", people)
    assert status == 2
    assert "coreface serve" in err
    assert len(err.splitlines()) == 1
    status, answer = coreface_json("enrol", people)
    assert (status, answer["error"]["code"]) == (2, "setup_failed")


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_nothing_to_enrol_is_told(
    coreface: RunCommand, url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert coreface("enrol", path, "--url", url)[0] == 2
