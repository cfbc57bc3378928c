"""The wheel alone is a service: its packages, the recipe of the default pack with its aggregator, the console."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.running_service import free_port
from tests.supply_chain.test_wheel import build

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`coreface` in an environment that holds the wheel and, of this one, all but the editable coreface."""
    root = tmp_path_factory.mktemp("installed")
    wheel = build(root / "source", umask=0o022, zone="UTC", seed="1")
    venv.create(root / "venv", with_pip=False, symlinks=True)
    python = root / "venv" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=120)
    [own] = (root / "venv" / "lib").glob("python*/site-packages")
    # What coreface stands on is here already. Without the files that put the checkout itself on the path.
    theirs = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for entry in theirs.iterdir():
        ours = entry.suffix == ".pth" or entry.name.startswith(("coreface", "__pycache__"))
        if not ours and not (own / entry.name).exists():
            (own / entry.name).symlink_to(entry)
    return root / "venv" / "bin" / "coreface"


def environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COREFACE_", "PYTHON"))}
    return clean | {"COREFACE_STATE_DIR": str(home / "state")}


def test_it_serves_from_an_empty_folder(installed: Path, tmp_path: Path, shared_data: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [installed, "serve", "--port", str(port)],
            cwd=empty,
            env=environment(tmp_path),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 120
            while True:
                said = (tmp_path / "log").read_text()
                if process.poll() is not None and "cannot be downloaded" in said:
                    pytest.skip("the wheel that the weights come from cannot be fetched here")
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                try:
                    if client.get("/health/ready").is_success:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            assert "pack opencv-sface is installed" in said
            [picture, *_] = sorted((shared_data / "lfw").glob("*/*.jpg"))
            made = client.post("/v1/templates", files={"samples": picture.read_bytes()})
            assert made.status_code == 201
            side = {"template_id": made.json()["template_id"]}
            answer = client.post("/v1/verify", json={"reference": side, "probe": side}).json()
            assert answer["decision"] == "match"
            assert client.get("/console").status_code == 200
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert list(empty.iterdir()) == []


def test_it_says_its_version(installed: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [installed, "--version"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("coreface 0.1.0.dev")
