"""No version with a known flaw: not in the ranges, not in the locks, not in this environment."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.supply_chain.requirements import FLOORS, LOCKS, ROOT, all_extras, declared, read_floors, read_lock

FLOOR_NAMES = sorted(read_floors())
LEAST = {"starlette": "1.3.1", "python-multipart": "0.0.32", "pillow": "12.3", "onnx": "1.21"}
"""Below these, flaws that the service stood on were published; a floor does not go down."""


def floor_version(name: str) -> Version:
    [floor] = read_floors()[name].specifier
    assert floor.operator == ">="
    return Version(floor.version)


def test_floors_do_not_go_down() -> None:
    assert all(floor_version(name) >= Version(least) for name, least in LEAST.items())


def test_each_has_its_reason() -> None:
    lines = [line for line in FLOORS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(FLOOR_NAMES)
    assert all(re.search(r"  # .*(CVE-\d{4}-\d+|GHSA(-\w{4}){3})", line) for line in lines)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_keep_them(lock: str) -> None:
    floors = read_floors()
    for pin in read_lock(lock):
        if pin.name in floors:
            assert pin.version in floors[pin.name].specifier, pin


@pytest.mark.parametrize("name", FLOOR_NAMES)
def test_this_environment_keeps_them(name: str) -> None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    assert read_floors()[name].specifier.contains(installed, prereleases=True)


def test_ranges_start_no_lower() -> None:
    for wanted in declared(*all_extras()):
        name = canonicalize_name(wanted.name)
        if name in FLOOR_NAMES:
            least = [Version(part.version) for part in wanted.specifier if part.operator in (">=", "==")]
            assert max(least) >= floor_version(name), f"{wanted} admits what {FLOORS.name} does not"


def test_installs_obey_them() -> None:
    text = (ROOT / "Makefile").read_text()
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert installs
    assert all("--constraint $(FLOORS)" in line or "--require-hashes" in line for line in installs)
    assert "--constraint $(FLOORS)" in text.partition("COMPILE =")[2].partition("UV ?=")[0]
