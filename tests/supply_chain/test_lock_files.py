"""Lock files name every file that may be installed by its digest, and hold what `pyproject.toml` asks for."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.supply_chain.requirements import FOLDER, LOCKS, ROOT, SERVICE_LOCKS, Pin, all_extras, declared, read_lock

NEVER_SERVED = {"torch", "insightface", "matplotlib", "scikit-learn", "scipy", "pytest"}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_digests(lock: str) -> None:
    pins = read_lock(lock)
    assert pins
    for pin in pins:
        assert pin.version.local is None, pin  # no build of one's own
        assert pin.digests >= 1, pin


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_file_says_where_packages_come_from(path: Path) -> None:
    # Which index or mirror it is, is for whoever installs to say.
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|^-[if] ", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("lock", "extras"), SERVICE_LOCKS.items())
def test_each_dependency_of_the_service_is_locked_within_its_range(lock: str, extras: tuple[str, ...]) -> None:
    pins = read_lock(lock)
    for wanted in declared(*extras):
        versions = [pin.version for pin in pins if pin.name == canonicalize_name(wanted.name)]
        assert versions, f"{wanted} is not locked: make lock"
        assert all(version in wanted.specifier for version in versions), f"{wanted}: {versions}"


@pytest.mark.parametrize("lock", SERVICE_LOCKS)
def test_what_trains_and_tests_is_not_served(lock: str) -> None:
    assert not NEVER_SERVED & {pin.name for pin in read_lock(lock)}


@pytest.mark.parametrize("lock", LOCKS)
def test_there_is_one_version_of_each_package(lock: str) -> None:
    # With one for each Python, templates would depend on which of them runs the service.
    assert max(Counter(pin.name for pin in read_lock(lock)).values()) == 1


@pytest.mark.parametrize("lock", SERVICE_LOCKS)
def test_locks_are_closed(lock: str) -> None:
    """What a locked package asks for is locked too, as far as that very version is installed here."""
    pins = {pin.name: pin for pin in read_lock(lock)}
    installed = [entry for entry in distributions() if is_pinned(entry, pins)]
    assert installed
    for entry in installed:
        for line in entry.requires or []:
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                assert canonicalize_name(asked.name) in pins, f"{entry.name} asks for {asked}"


def is_pinned(entry: Distribution, pins: dict[str, Pin]) -> bool:
    name = canonicalize_name(entry.name)
    return name in pins and Version(entry.version) == pins[name].version


CPU_ONLY = ("onnxruntime", "openvino", "openvino-telemetry")


def test_processors_share_their_libraries() -> None:
    cpu, gpu = ({pin.name: pin.version for pin in read_lock(lock)} for lock in SERVICE_LOCKS)
    assert {name: version for name, version in gpu.items() if name in cpu} == {
        name: version for name, version in cpu.items() if name not in CPU_ONLY
    }


def test_the_image_for_gpus_has_the_version_that_its_libraries_are_for() -> None:
    [version] = [str(pin.version) for pin in read_lock("gpu") if pin.name == "onnxruntime-gpu"]
    assert f"onnxruntime-gpu {version} " in (ROOT / "docker" / "Dockerfile.gpu").read_text()
    assert f"onnxruntime-gpu {version} " in (ROOT / "docs" / "deploying.md").read_text()


def test_extras_are_known() -> None:
    assert {extra for extras in SERVICE_LOCKS.values() for extra in extras} <= set(all_extras())
