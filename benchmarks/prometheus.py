"""A Prometheus of one's own: it scrapes processes of this machine under the shipped rules, and is asked afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.running_service import free_port

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "rules.yml"
_PATIENCE_S = 30.0
_RATE_INTERVAL = "10s"
"""What a dashboard that shows so little time, scraped so often, would fill in."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    """Unix seconds."""
    values: tuple[float, ...]


class Prometheus:
    """Answers queries about what it scraped."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30.0)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if self._client.get("/-/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError("Prometheus does not start.")

    def read(self, expression: str, began: float, ended: float) -> list[Line]:
        """What `expression` was, every second from `began` to `ended` (Unix seconds)."""
        asked = {
            "query": expression.replace("$__rate_interval", _RATE_INTERVAL),
            "start": str(began),
            "end": str(ended),
            "step": "1",
        }
        answer = self._client.get("/api/v1/query_range", params=asked)
        answer.raise_for_status()
        return [
            Line(
                series["metric"],
                tuple(float(at) for at, _ in series["values"]),
                tuple(float(value) for _, value in series["values"]),
            )
            for series in answer.json()["data"]["result"]
        ]


@contextmanager
def running_prometheus(directory: Path, targets: Mapping[str, Sequence[int]]) -> Iterator[Prometheus]:
    """`targets`: ports of this machine by job. Exits where Prometheus is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("Prometheus is not installed; on Debian: apt-get install prometheus.")
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            for job, ports in targets.items()
        ],
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(configuration))  # which is YAML
    url = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'series'}",
        f"--web.listen-address={url}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        prometheus = Prometheus(f"http://{url}")
        prometheus.wait_until_ready()
        yield prometheus
    finally:
        process.terminate()
        process.wait()
