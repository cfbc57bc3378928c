"""The shipped dashboard, filled by a run: a service under a varied load, Prometheus beside it, its panels drawn.

`python -m benchmarks.dashboard PEOPLE FACELESS [--seconds 240] [--picture docs/observability/dashboard.png]`

PEOPLE: a folder of folders, one for each person, with ten pictures or more in some. FACELESS: pictures without a face.
It needs Prometheus, the installed default pack and, for the drawing, matplotlib. It shows what panels look like, and
measures nothing: everything runs on one machine, the load included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.dashboard_drawing import Drawn, Run, draw
from benchmarks.prometheus import Line, Prometheus, running_prometheus
from benchmarks.varied_load import Event, Site, read_people, run_day
from service.settings import Settings
from tests.end_to_end.running_service import RunningService, free_port

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "coreface.json"
_WARM_UP_S = 12.0
"""Until what looks back over some seconds has something to look at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("faceless", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--picture", type=Path, default=Path("docs/observability/dashboard.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run = run_service(Path(directory), options.people, options.faceless, options.seconds)
    empty = [drawn.panel["title"] for _, row in run.rows for drawn in row if not drawn.lines]
    print(f"{sum(len(row) for _, row in run.rows)} panels; nothing to show: {', '.join(empty) or 'none'}")
    draw(run, options.picture)


def run_service(directory: Path, people: Path, faceless: Sequence[Path], seconds: float) -> Run:
    """Start a service with two workers, be its clients for so long, and ask Prometheus what it saw."""
    settings = Settings()
    worker_ports = [first := free_port(), first + 1]
    environment = {
        "COREFACE_AUTH": "keys",
        "COREFACE_WORKERS": "2",
        "COREFACE_WORKER_PORT": str(first),
        # Small, so that a rush that this machine can bring about is one.
        "COREFACE_MAX_BATCH_SETS": "2",
        "COREFACE_LIMITS__MAX_WAITING_SETS": "16",
    }
    state = directory / "state"
    state.mkdir()
    with RunningService(state, settings.packs_path / settings.pack, environment) as service:
        targets = {"coreface-api": [int(service.url.rsplit(":", 1)[1])], "coreface-worker": worker_ports}
        site = Site(
            service.url,
            service.pid,
            key=_make_key(state, "--scope", "templates:write", "--scope", "verify", "--scope", "verify:many"),
            poor_key=_make_key(state, "--images-per-day", "5"),
            people=read_people(people, 12),
            faceless=[path.read_bytes() for path in faceless],
        )
        with running_prometheus(directory, targets) as prometheus:
            time.sleep(_WARM_UP_S)
            began = time.time()
            with _asking_readiness(service):
                run_day(site, seconds)
            return read_run(prometheus, began, time.time(), site.events)


def read_run(prometheus: Prometheus, began: float, ended: float, events: Sequence[Event]) -> Run:
    rows: list[tuple[str, list[Drawn]]] = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
            continue
        lines = [
            (_legend(target["legendFormat"], line), line)
            for target in panel["targets"]
            for line in prometheus.read(target["expr"], began, ended)
        ]
        rows[-1][1].append(Drawn(panel, [entry for entry in lines if not all(map(math.isnan, entry[1].values))]))
    return Run(began, ended, events, prometheus.read("ALERTS", began, ended), rows)


def _make_key(state: Path, *options: str) -> str:
    command = [sys.executable, "-m", "service", "keys", "create", "--name", "load", "--json", *options]
    done = subprocess.run(
        command, env={**os.environ, "COREFACE_STATE_DIR": str(state)}, capture_output=True, check=True
    )
    return str(json.loads(done.stdout)["api_key"])


@contextmanager
def _asking_readiness(service: RunningService) -> Iterator[None]:
    """As a balancer does."""
    ending = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=5.0) as client:
            while not ending.wait(2.0):
                with suppress(httpx.TransportError):
                    client.get("/health/ready")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _legend(form: str, line: Line) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: line.labels.get(name[1], ""), form).strip()


if __name__ == "__main__":
    main()
