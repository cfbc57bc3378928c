from __future__ import annotations

import os
import subprocess
import sys

import pytest

from service.cli.completion import complete_pack
from tests.cli.conftest import RunCommand


def test_packs_are_offered_by_their_beginning() -> None:
    assert "opencv-sface" in complete_pack("")
    assert complete_pack("opencv") == ["opencv-sface"]
    assert complete_pack("nothing") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(coreface: RunCommand, shell: str) -> None:
    status, out, _ = coreface("--show-completion", shell)
    assert status == 0
    assert "_COREFACE_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "offered"), [("coreface temp", "templates"), ("coreface packs install openc", "opencv-sface")]
)
def test_bash_is_answered(words: str, offered: str) -> None:
    environment = {
        **os.environ,
        "_COREFACE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "service"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert offered in answer.stdout.split()
