from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from service import __version__
from service.cli.main import build_cli
from tests.cli.conftest import RunCommand

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield prefix + name, command
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")} - {"--help"}


def test_every_command_and_option_is_documented() -> None:
    sections = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    documented = {
        match.group(1): set(re.findall(r"^\| `(--[a-z0-9-]+)", section, re.MULTILINE))
        for section in sections
        if (match := re.match(r"`coreface ([a-z ]+)`", section))
    }
    actual = {name: options(command) for name, command in commands(typer.main.get_command(build_cli()), "")}
    assert documented == actual


def test_every_command_explains_itself(coreface: RunCommand) -> None:
    for name, _ in commands(typer.main.get_command(build_cli()), ""):
        status, out, _ = coreface(*name.split(), "--help")
        assert status == 0
        assert "Usage" in out


def test_the_version(coreface: RunCommand) -> None:
    assert coreface("--version") == (0, f"coreface {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["packs"], ["verify", "--no-such-option"], ["api", "--port", "x"]]
)
def test_wrong_usage_ends_with_two(coreface: RunCommand, arguments: list[str]) -> None:
    status, _, err = coreface(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_settings_that_contradict_each_other_are_told_in_one_sentence(
    coreface: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFACE_QUALITY__MIN_BRIGHTNESS", "0.9")
    monkeypatch.setenv("COREFACE_QUALITY__MAX_BRIGHTNESS", "0.1")
    status, _, err = coreface("packs", "list")
    assert status == 2
    assert err == (
        "coreface: The settings are not valid. COREFACE_QUALITY: min_brightness is above max_brightness: "
        "every face would be refused\n"
    )


def test_a_wrong_setting_is_told_by_its_variable(coreface: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREFACE_LIMITS__MAX_SAMPLES", "none")
    status, _, err = coreface("packs", "list")
    assert status == 2
    assert err.startswith("coreface: The settings are not valid. COREFACE_LIMITS__MAX_SAMPLES: ")
    assert len(err.splitlines()) == 1
