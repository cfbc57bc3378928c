"""`make sbom` tells of every locked package, with its digests, and of nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.supply_chain.requirements import ROOT, SERVICE_LOCKS, read_lock

CYCLONEDX = shutil.which("cyclonedx-py")


@pytest.mark.skipif(CYCLONEDX is None, reason="cyclonedx-py not installed; make audit-code runs this")
@pytest.mark.parametrize("lock", SERVICE_LOCKS)
def test_it_holds_the_lock(lock: str, tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    command = [CYCLONEDX or "", "requirements", "--pyproject", "pyproject.toml", "--mc-type", "application"]
    command += ["--of", "JSON", "--output-reproducible", "--output-file", str(path), f"requirements/{lock}.txt"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "coreface"
    pins = read_lock(lock)
    told = {(canonicalize_name(entry["name"]), entry["version"]): digests(entry) for entry in bill["components"]}
    assert told == {(pin.name, str(pin.version)): pin.digests for pin in pins}


def digests(component: dict[str, list[dict[str, list[str]]]]) -> int:
    return sum(len(reference["hashes"]) for reference in component["externalReferences"])
