"""The files below `requirements/` and `pyproject.toml`, as data."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
FLOORS = FOLDER / "floors.txt"
SERVICE_LOCKS = {"cpu": ("cpu", "video"), "gpu": ("gpu", "video")}
"""Lock file -> the extras that it holds."""
LOCKS = (*SERVICE_LOCKS, "build", "audit")
_DIGEST = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package, where its marker holds."""

    requirement: Requirement
    digests: int

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        [exact] = self.requirement.specifier
        assert exact.operator == "==", f"{self.requirement} is no pin"
        return Version(exact.version)


def read_lock(name: str) -> list[Pin]:
    """The pins of `requirements/NAME.txt`."""
    text = (FOLDER / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return [Pin(Requirement(line.partition(" --hash=")[0]), len(_DIGEST.findall(line))) for line in lines]


def read_floors() -> dict[str, Requirement]:
    """By name: from which version on a package may be used."""
    lines = [line.partition("#")[0].strip() for line in FLOORS.read_text().splitlines()]
    floors = [Requirement(line) for line in lines if line]
    return {canonicalize_name(floor.name): floor for floor in floors}


def declared(*extras: str) -> list[Requirement]:
    """What `pyproject.toml` asks for, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def all_extras() -> tuple[str, ...]:
    return tuple(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
