"""`--local`: the same answers without a service and without a store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCommand

pytestmark = pytest.mark.slow

RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, default_pack_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "packs").symlink_to(default_pack_path.parent)
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COREFACE_URL", "http://127.0.0.1:1")


def person(shared_data: Path, name: str) -> list[Path]:
    return [shared_data / "lfw" / name / f"{name}_{index:04d}.jpg" for index in (1, 2, 3)]


def test_enrol_reports_and_writes_a_sealed_template_that_verifies(
    coreface_json: RunJson, coreface: RunCommand, shared_data: Path, tmp_path: Path
) -> None:
    sealed = tmp_path / "blair.coreface"
    status, answer = coreface_json(
        "enrol",
        "--local",
        "--output",
        sealed,
        *person(shared_data, "Tony_Blair"),
        shared_data / "photos/no_face_small.png",
    )
    assert status == 0
    reasons = [sample["reason"] for sample in answer["templates"][0]["samples"]]
    assert reasons == [None, None, None, "no_face"]
    probe = shared_data / "lfw" / "Tony_Blair" / "Tony_Blair_0010.jpg"
    status, out, err = coreface("verify", "--local", sealed, "--", probe)
    if "no calibration" in err:
        pytest.skip("the installed pack has no calibration yet")
    assert (status, out.split(":")[0]) == (0, "match")
    other = shared_data / "lfw" / "Colin_Powell" / "Colin_Powell_0001.jpg"
    assert coreface("verify", "--local", sealed, "--", other)[0] == 1


def test_standard_output_is_the_answer_alone(shared_data: Path) -> None:
    command = [sys.executable, "-m", "service", "enrol", "--local", "--json", *person(shared_data, "Tony_Blair")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["templates"]) == 1


def test_a_stored_template_is_out_of_reach(coreface: RunCommand, shared_data: Path) -> None:
    status, _, err = coreface("verify", "--local", "A" * 22, "--", person(shared_data, "Tony_Blair")[0])
    assert status == 2
    assert "--local" in err or "no calibration" in err


def test_a_missing_pack_is_told(coreface: RunCommand, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREFACE_PACK", "nonesuch")
    status, _, err = coreface("enrol", "--local", person(shared_data, "Tony_Blair")[0])
    assert status == 2
    assert "coreface packs install nonesuch" in err
