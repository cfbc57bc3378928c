from __future__ import annotations

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.deployment.files import ROOT

DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
HEALTHCHECK = ROOT / "docker" / "healthcheck.py"


def final_stage(path: Path) -> str:
    return re.split(r"^FROM ", path.read_text(), flags=re.MULTILINE)[-1]


def test_there_is_one_for_each_kind_of_device() -> None:
    assert [path.suffix for path in DOCKERFILES] == [".cpu", ".gpu"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_final_image_runs_as_nobody_with_nothing_to_build_with(path: Path) -> None:
    stage = final_stage(path)
    user = re.search(r"^USER (\d+):(\d+)$", stage, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert not re.search(r"\b(apt-get|pip|gcc|curl|torch)\b", stage)
    for line in (
        'ENTRYPOINT ["coreface"]',
        "STOPSIGNAL SIGTERM",
        "COREFACE_PACKS_DIR=/opt/coreface/packs",
        "COREFACE_STATE_DIR=/var/lib/coreface",
        'CMD ["python", "/opt/coreface/healthcheck.py", "8000"]',
    ):
        assert line in stage


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_installed(path: Path) -> None:
    text = path.read_text()
    installs = re.findall(r"-m pip install (.*?)(?=\n\S|&&)", text.replace("\\\n", " "), re.DOTALL)
    locked, built, own = (" ".join(install.split()) for install in installs)
    digests = "--no-cache-dir --only-binary=:all: --require-hashes"
    assert locked == f"{digests} -r requirements/{path.suffix[1:]}.txt"
    assert built == f"{digests} -r requirements/build.txt"
    # The service itself, from the source beside the Dockerfile, and nothing else of what it asks for.
    assert own == "--no-cache-dir --no-deps /opt/build/wheels/coreface-*.whl"
    assert "packs install opencv-sface" in text
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=python:(\d+)\.(\d+)\.(\d+)-slim-\w+$", text, re.MULTILINE)
    assert tuple(map(int, image)) >= (3, 11, 0)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    # Without one of its own, what is built from a copy without a repository has everywhere.
    version = re.search(r'fallback_version = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert version is not None
    assert set(re.findall(r"ARG VERSION=(\S+)", text)) == {version[1]}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_let_in(path: Path) -> None:
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE)
    assert {name for names in copied for name in names.split()} == let_in
    assert all((ROOT / name).exists() for name in let_in)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_nothing_that_runs_needs_a_shell(path: Path) -> None:
    stage = final_stage(path)
    commands = re.findall(r"^\s*(?:HEALTHCHECK .*\\\n\s*)?(?:ENTRYPOINT|CMD) (.+)$", stage, re.MULTILINE)
    assert len(commands) == 3
    assert all(command.startswith("[") for command in commands)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_the_service_runs_from_is_not_its_own_to_change(path: Path) -> None:
    stage = final_stage(path)
    assert not re.search(r"--chown|chown|chmod", stage)
    owned = re.findall(r"--owner=10001 --group=10001 --mode=0700 (\S+)$", stage, re.MULTILINE)
    assert owned == ["/var/lib/coreface"]
    assert not re.search(r"^(ADD|VOLUME) |https?://", stage, re.MULTILINE)


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_the_health_check_follows_readiness(status: int, expected: int) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request).start()
        command = [sys.executable, str(HEALTHCHECK), str(server.server_port)]
        environment = {"http_proxy": "http://127.0.0.1:9"}
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == expected


def test_nobody_there_is_not_healthy() -> None:
    assert subprocess.run([sys.executable, str(HEALTHCHECK), "9"], capture_output=True, check=False).returncode == 1
