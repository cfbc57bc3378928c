"""`coreface calibrate` on real people, and decisions under what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.running_service import RunningService
from tests.end_to_end.test_walk import enrol, pictures, verify

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site_calibration")]

PEOPLE = 60


@pytest.fixture(scope="module")
def calibration_path(shared_data: Path, default_pack_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the first test people with two pictures or more, three pictures each at most."""
    folder = tmp_path_factory.mktemp("site")
    names = json.loads((shared_data / "lfw_splits.json").read_text())["test"][:PEOPLE]
    for name in names:
        (folder / "people" / name).mkdir(parents=True)
        for path in sorted((shared_data / "lfw" / name).iterdir())[:3]:
            (folder / "people" / name / path.name).symlink_to(path)
    output = folder / "calibration.json"
    command = [
        sys.executable,
        "-m",
        "service",
        "calibrate",
        "--images",
        str(folder / "people"),
        "--output",
        str(output),
    ]
    environment = {**os.environ, "COREFACE_PACKS_DIR": str(default_pack_path.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "pairs" in done.stdout.splitlines()[0], "how many different people stand behind the false matches"
    return output


def test_a_site_decides_by_its_own_thresholds(
    calibration_path: Path, shared_data: Path, default_pack_path: Path, tmp_path: Path
) -> None:
    written = json.loads(calibration_path.read_text())
    points = {point["name"]: point for point in written["buckets"][0]["operating_points"]}
    assert list(points) == ["fmr_1e-2"]
    assert points["fmr_1e-2"]["false_matches"] >= 30
    with (
        RunningService(tmp_path, default_pack_path, {"COREFACE_CALIBRATION": str(calibration_path)}) as service,
        service.client() as client,
    ):
        bush, same = (enrol(client, pictures(shared_data, "George_W_Bush", first, first + 2)) for first in (1, 4))
        other = enrol(client, pictures(shared_data, "Colin_Powell", 1, 3))
        match, non_match = (
            verify(client, {"template_id": bush["template_id"]}, {"template_id": probe["template_id"]})
            for probe in (same, other)
        )
        refused = client.post(
            "/v1/verify",
            json={
                "reference": {"template_id": bush["template_id"]},
                "probe": {"template_id": same["template_id"]},
                "operating_point": "fmr_1e-4",
            },
        )
    assert (match["decision"], non_match["decision"]) == ("match", "non_match")
    assert match["operating_point"] == "fmr_1e-2"
    assert match["threshold"] == pytest.approx(points["fmr_1e-2"]["threshold"])
    assert (refused.status_code, refused.json()["code"]) == (422, "unsupported_operating_point")
