from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.vision import heic_decoding
from tests.cli.conftest import RunCommand

RunJson = Callable[..., tuple[int, Any]]


def checks(answer: Any) -> dict[str, Any]:
    return {check["name"]: check for check in answer["checks"]}


def test_a_sound_machine_is_sound(
    coreface_json: RunJson, default_pack_path: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(default_pack_path.parents[1]))
    monkeypatch.setenv("COREFACE_REDIS_URL", valkey_url)
    status, answer = coreface_json("doctor")
    assert answer["ok"], answer
    assert status == 0
    assert " runs (COREFACE_DEVICE=" in checks(answer)["execution provider"]["found"]
    assert "COREFACE_REDIS_URL answers" in checks(answer)["store"]["found"]
    assert not any(check["remedy"] for check in answer["checks"])


def test_everything_broken_is_told_with_what_to_do(
    coreface: RunCommand, coreface_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COREFACE_REDIS_URL", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("COREFACE_SEALING_KEY", "too short")
    status, answer = coreface_json("doctor")
    assert status == 1
    broken = {name for name, check in checks(answer).items() if not check["ok"]}
    assert broken == {"store", "sealing key", "pack", "execution provider"}
    assert all(check["remedy"] for check in answer["checks"] if not check["ok"])
    status, out, _ = coreface("doctor")
    assert status == 1
    assert "pack: Run `coreface packs install opencv-sface`." in out


def test_a_first_start_is_no_fault_and_nothing_is_made(
    coreface_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path / "state"))
    _, answer = coreface_json("doctor")
    found = checks(answer)
    assert found["state directory"]["ok"]
    assert found["sealing key"]["ok"]
    assert found["store"]["ok"]
    assert not (tmp_path / "state").exists()


def test_a_state_directory_open_to_others_is_told(
    coreface_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path))
    assert "chmod 700" in checks(coreface_json("doctor")[1])["state directory"]["remedy"]


def test_a_format_that_nothing_here_decodes_is_told(
    coreface_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(heic_decoding, "pillow_heif", None)
    monkeypatch.setenv("COREFACE_LIMITS__FORMATS", "jpeg,gif,heic")
    _, answer = coreface_json("doctor")
    found = checks(answer)["decoders"]
    assert not found["ok"]
    assert "accepts heic, which" in found["found"]
    monkeypatch.setenv("COREFACE_LIMITS__FORMATS", "jpeg,gif")
    _, answer = coreface_json("doctor")
    assert checks(answer)["decoders"]["found"] == "gif, jpeg can be decoded"


def test_standard_output_is_the_answer_alone(default_pack_path: Path, tmp_path: Path) -> None:
    """It opens networks, which those who watch a service are told of."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COREFACE_")}
    environment |= {"COREFACE_PACKS_DIR": str(default_pack_path.parent), "COREFACE_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "service", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "checks" in json.loads(done.stdout)
    assert "network_opened" not in done.stderr
