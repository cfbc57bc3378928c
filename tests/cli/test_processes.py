"""The processes of a service, started as real ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import typer

from service.cli import processes
from service.supervision import SETUP_FAILED


def environment(**settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COREFACE_")}
    return clean | {f"COREFACE_{name}": value for name, value in settings.items()}


def run_to_its_end(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running(port: int, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """An API process that answers."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "api", "--port", str(port)],
            env=environment(**settings),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/live")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("command", ["api", "worker"])
def test_without_a_store_a_child_refuses_for_good(command: str, default_pack_path: Path) -> None:
    done = run_to_its_end(command, STATE_DIR=str(default_pack_path.parents[1]))
    assert done.returncode == SETUP_FAILED
    assert "COREFACE_REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_without_a_pack_nothing_starts(command: str, tmp_path: Path, valkey_url: str) -> None:
    """But `serve`, with the default one: tests/end_to_end/test_from_the_wheel.py."""
    pack = "buffalo_s" if command == "serve" else "opencv-sface"
    done = run_to_its_end(command, STATE_DIR=str(tmp_path), REDIS_URL=valkey_url, PACK=pack)
    assert done.returncode == (2 if command == "serve" else SETUP_FAILED)
    assert f"coreface packs install {pack}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("settings", [{"LOG_LEVEL": "loud"}, {"SEALING_KEY": "short"}, {"REDIS_URL": "ftp://x"}])
def test_a_wrong_setting_is_told(settings: dict[str, str], default_pack_path: Path, valkey_url: str) -> None:
    done = run_to_its_end(
        "api", **{"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url, **settings}
    )
    assert done.returncode == SETUP_FAILED
    assert next(iter(settings)) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_port_that_is_taken_is_told(command: str, default_pack_path: Path, valkey_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_to_its_end(
            command, "--port", str(port), STATE_DIR=str(default_pack_path.parents[1]), REDIS_URL=valkey_url
        )
    assert done.returncode == SETUP_FAILED
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_process_answers_without_decoders_and_networks(
    default_pack_path: Path, valkey_url: str, free_port: int, tmp_path: Path
) -> None:
    settings = {"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url}
    with running(free_port, tmp_path / "log", **settings) as process:
        url = f"http://127.0.0.1:{free_port}"
        ready = httpx.get(f"{url}/health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
        assert "No worker" in ready.json()["detail"]
        refused = httpx.post(f"{url}/v1/templates", files={"samples": b"\xff\xd8\xff"})
        assert refused.json()["code"] == "no_usable_sample"
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            loaded = maps.read_text()
            assert not any(name in loaded for name in ("/cv2/", "onnxruntime", "/onnx/"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_operators_have_a_port_of_their_own(
    default_pack_path: Path, valkey_url: str, free_port: int, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        admin_port = probe.getsockname()[1]
    settings = {"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url, "ADMIN_PORT": str(admin_port)}
    with running(free_port, tmp_path / "log", **settings) as process:
        for path, public, admin in (
            ("/metrics", 404, 200),
            ("/docs", 404, 200),
            ("/v1/packs/current", 200, 404),
            ("/health/live", 200, 200),
        ):
            assert httpx.get(f"http://127.0.0.1:{free_port}{path}").status_code == public
            assert httpx.get(f"http://127.0.0.1:{admin_port}{path}").status_code == admin
        rebound = httpx.get(f"http://127.0.0.1:{free_port}/v1/packs", headers={"Host": "rebound.example"})
        assert rebound.json()["code"] == "misdirected_request"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_taken_port_for_operators_is_told(default_pack_path: Path, valkey_url: str, free_port: int) -> None:
    settings = {"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url, "ADMIN_PORT": str(free_port)}
    done = run_to_its_end("api", "--port", str(free_port), **settings)
    assert done.returncode == SETUP_FAILED
    assert "COREFACE_ADMIN_PORT" in done.stderr


@pytest.mark.slow
def test_a_local_engine_needs_no_worker(
    default_pack_path: Path, valkey_url: str, free_port: int, tmp_path: Path, shared_data: Path
) -> None:
    settings = {"STATE_DIR": str(default_pack_path.parents[1]), "REDIS_URL": valkey_url, "ENGINE": "local"}
    picture = shared_data / "lfw" / "Tony_Blair" / "Tony_Blair_0001.jpg"
    with running(free_port, tmp_path / "log", **settings):
        url = f"http://127.0.0.1:{free_port}"
        assert httpx.get(f"{url}/health/ready").status_code == 200
        created = httpx.post(f"{url}/v1/templates", files={"samples": picture.read_bytes()}, timeout=30)
        assert created.status_code == 201


def test_the_openapi_document_is_printed() -> None:
    done = run_to_its_end("openapi")
    assert done.returncode == 0
    assert done.stdout == (Path(__file__).parents[2] / "docs" / "openapi.json").read_text()


@pytest.mark.parametrize(("runtime", "waits_s"), [("auto", 60), ("tensorrt", 1800)])
def test_serve_waits_for_engines_that_tensorrt_builds(
    runtime: str, waits_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waited: list[float] = []

    class Recorder:
        def __init__(self, *, ready_timeout_s: float, **_others: object) -> None:
            waited.append(ready_timeout_s)

        def run(self) -> int:
            return 0

    monkeypatch.setattr("service.supervision.Supervisor", Recorder)
    monkeypatch.setattr(processes, "_require_pack", lambda _settings: None)
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COREFACE_RUNTIME", runtime)
    with pytest.raises(typer.Exit):
        processes.serve()
    assert waited == [waits_s]
