from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.cli.main import run
from tests.api.conftest import _quiet, _shared_api, api, fresh_png  # noqa: F401 (fixtures)

RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def coreface(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs one command line in this process; answers exit status, standard output and standard error."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        words: Sequence[str] = [str(argument) for argument in arguments]
        status = run(words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_command


@pytest.fixture
def coreface_json(coreface: RunCommand) -> Callable[..., tuple[int, Any]]:
    """The same with `--json`: exit status and the parsed answer."""

    def run_command(*arguments: object) -> tuple[int, Any]:
        status, out, _ = coreface(*arguments, "--json")
        return status, json.loads(out)

    return run_command
