"""A service of the bench's own: `coreface serve` on a free port, with an empty state directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.errors import SetupError
from service.runtime.pack import Pack

_START_TIMEOUT_S = 60.0


@contextmanager
def running_service(
    pack: Pack, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """The supervisor and a client of its API. `settings`: environment variables, over the operator's."""
    with tempfile.TemporaryDirectory(prefix="coreface-bench-") as directory:
        state_path = Path(directory)
        shutil.copytree(pack.directory, state_path / "packs" / pack.name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # The pack and the state are the bench's own; every other setting of the operator holds.
        environment = {**os.environ, "COREFACE_STATE_DIR": str(state_path), "COREFACE_PACK": pack.name}
        environment |= settings or {}
        for name in ("COREFACE_REDIS_URL", "COREFACE_QUEUE_URLS", "COREFACE_ADMIN_PORT", "COREFACE_ALLOWED_HOSTS"):
            environment.pop(name, None)
        with (state_path / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve", "--port", str(port)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as client:
                _wait_until_ready(client, process, state_path / "serve.log")
                yield process, client
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SetupError(f"The bench's service did not start: {log.read_text(errors='replace')[-500:]}")


def require_success(response: httpx.Response) -> None:
    """Raises `SetupError` with what the service said."""
    if response.is_error:
        raise SetupError(f"The service answered {response.status_code}: {response.text}")
