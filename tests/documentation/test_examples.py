"""The examples of the documentation, run as they stand against the real application on a real port."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.access.callers import Scope
from tests.api.conftest import _quiet, _shared_api, api, fresh_png  # noqa: F401 (fixtures)
from tests.api.running_api import RunningApi

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
WALKS = {"walk.sh": ("bash", ("curl", "jq")), "walk.py": (sys.executable, ()), "walk.mjs": ("node", ("node",))}
SAID = re.compile(
    r"""with itself: match at fmr_1e-2
with the other: (non_)?match at fmr_1e-2
refused: template_not_found
erased: template_erased
"""
)
"""The engine of these tests makes faces up, and two of them may be alike."""

FreshPng = Callable[[], bytes]


@pytest.fixture
def people(tmp_path: Path, fresh_png: FreshPng) -> tuple[Path, Path]:  # noqa: F811
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.png").write_bytes(fresh_png())
    return tmp_path / "anna", tmp_path / "ben"


def walk(name: str, url: str, people: tuple[Path, Path], key: str | None = None) -> str:
    program, needed = WALKS[name]
    for other in needed:
        if shutil.which(other) is None:
            pytest.skip(f"{other} is not installed")
    environment = {"PYTHONPATH": str(ROOT), **os.environ} | ({} if key is None else {"COREFACE_API_KEY": key})
    done = subprocess.run(
        [program, str(EXAMPLES / name), url, *map(str, people)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", WALKS)
def test_the_walk(name: str, api: RunningApi, people: tuple[Path, Path]) -> None:  # noqa: F811
    assert SAID.fullmatch(walk(name, f"http://127.0.0.1:{api.port}", people))


@pytest.mark.parametrize("name", WALKS)
def test_the_walk_with_a_key(name: str, valkey_url: str, people: tuple[Path, Path]) -> None:
    from service.settings import Limits

    with RunningApi(valkey_url, Limits(), with_keys=True) as guarded:
        key = guarded.new_key(Scope.TEMPLATES_WRITE, Scope.VERIFY)["Authorization"].removeprefix("Bearer ")
        assert SAID.fullmatch(walk(name, f"http://127.0.0.1:{guarded.port}", people, key))


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"\]\((walk\.\w+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == set(WALKS) == {path.name for path in EXAMPLES.iterdir() if path.name != "README.md"}


def test_the_examples_of_the_api_page_are_answered(api: RunningApi, people: tuple[Path, Path]) -> None:  # noqa: F811
    """Every curl command of docs/api.md and of the README, on real files and ids."""
    url = f"http://127.0.0.1:{api.port}"
    folder = people[0]
    for number, name in enumerate(("anna1.jpg", "anna2.jpg", "anna3.jpg")):
        shutil.copy(folder / f"{number % 2}.png", folder / name)
    first, second = (
        api.client.post("/v1/templates", files={"samples": path.read_bytes()}).json()["template_id"]
        for path in sorted(folder.glob("*.png"))
    )
    commands = [
        command
        for page in ("docs/api.md", "README.md")
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        for command in re.findall(r"^curl (?:.|\n(?!curl|\Z))*", block, re.MULTILINE)
        if "/v1/" in command
    ]
    assert len(commands) >= 4
    for command in commands:
        ready = command.replace("http://127.0.0.1:8000", url).replace("curl ", "curl --silent --fail-with-body ", 1)
        ready = re.sub(r'"HnBz[^"]*"', f'"{first}"', ready)
        ready = re.sub(r'"9dKq[^"]*"', f'"{second}"', ready)
        done = subprocess.run(
            ["bash", "-c", ready], cwd=folder, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
