from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.commands import progress_bar, write_json

MODULES = [
    "models.training.command",
    "models.export.command",
    "models.evaluation.measure",
    "models.evaluation.calibrate",
    "models.evaluation.lfw_pairs",
]


@pytest.mark.parametrize("module", MODULES)
def test_each_command_explains_itself(module: str) -> None:
    answer = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "--output" in answer.stdout


def test_results_are_written_with_their_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"rate": 0.5})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"rate": 0.5}


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting") as show:
        show(1, 2)
    captured = capsys.readouterr()
    assert captured.out == "" and "counting" in captured.err
