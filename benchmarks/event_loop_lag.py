"""How long uploads keep the event loop of an API process from everybody else: `python -m benchmarks.event_loop_lag`.

One API process with a probe in its loop, Redis and a worker that sleeps get sets of pictures that nobody sent before,
as forms and as JSON, from a few clients at once. Beside it runs a process that does nothing but to look how late its
own loop is: what both show is the machine's. Prints a table; the goal is a p99 of 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from benchmarks.loop_probe import take_lags
from benchmarks.sleeping_site import SleepingSite
from service.child_processes import start_child
from tests.pipeline.fakes import png
from tests.resilience.figures import quantile

GOAL_MS = 20.0
SAMPLES = 8
SAMPLE_BYTES = 500_000
_SETTLE_S = 1.0
_BOUNDARY = b"0123456789abcdef"
_serial = itertools.count()
_filling = os.urandom(SAMPLE_BYTES)

Request = tuple[bytes, str]
"""Body and content type."""


def _pictures() -> list[bytes]:
    return [png(content=b"%d of %d " % (next(_serial), os.getpid()) + _filling) for _ in range(SAMPLES)]


def _form() -> Request:
    part = b'--%b\r\ncontent-disposition: form-data; name="samples"; filename="p"\r\n\r\n%b\r\n'
    body = b"".join(part % (_BOUNDARY, picture) for picture in _pictures()) + b"--%b--\r\n" % _BOUNDARY
    return body, f"multipart/form-data; boundary={_BOUNDARY.decode()}"


def _json() -> Request:
    samples = b",".join(b'"%b"' % base64.b64encode(picture) for picture in _pictures())
    return b'{"samples": [%b]}' % samples, "application/json"


LOADS: dict[str, Callable[[], Request] | None] = {"nothing": None, "forms": _form, "JSON": _json}


def _send_for(url: str, make: Callable[[], Request], clients: int, seconds: float) -> Counter[int]:
    """What was answered, by status."""
    statuses: Counter[int] = Counter()

    async def send() -> None:
        ends_at = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
            while time.monotonic() < ends_at:
                body, content_type = make()
                response = await client.post("/v1/templates", content=body, headers={"content-type": content_type})
                statuses[response.status_code] += 1

    async def send_all() -> None:
        await asyncio.gather(*(send() for _ in range(clients)))

    asyncio.run(send_all())
    return statuses


def _lags(folder: Path, pid: int) -> list[float]:
    os.kill(pid, signal.SIGUSR1)
    while (lags := take_lags(folder, pid)) is None:
        time.sleep(0.01)
    return lags


def _row(load: str, whose: str, lags: list[float], statuses: Counter[int]) -> str:
    p50, p99, most = (1000 * quantile(lags, share) for share in (0.5, 0.99, 1.0))
    verdict = "" if whose != "API process" else ("holds" if p99 <= GOAL_MS else "MISSED")
    return f"{load:8} {whose:12} {len(lags):6} {p50:7.1f} {p99:7.1f} {most:7.1f}  {verdict:6} {dict(statuses) or ''}"


def _rows(site: SleepingSite, folder: Path, idle_pid: int, clients: int, seconds: float) -> Iterator[str]:
    for load, make in LOADS.items():
        time.sleep(_SETTLE_S)
        for pid in (site.api_pid, idle_pid):
            _lags(folder, pid)
        statuses: Counter[int] = Counter()
        if make is None:
            time.sleep(seconds)
        else:
            statuses = _send_for(site.url, make, clients, seconds)
        yield _row(load, "API process", _lags(folder, site.api_pid), statuses)
        yield _row("", "idle process", _lags(folder, idle_pid), Counter())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        idle: subprocess.Popen[bytes] = start_child(
            [sys.executable, "-m", "benchmarks.loop_probe", directory], death_signal=signal.SIGKILL, env=os.environ
        )
        with SleepingSite(folder / "site", ("benchmarks.loop_probe", directory)) as site:
            site.set_workers(1)
            print(f"{arguments.clients} clients, sets of {SAMPLES} x {SAMPLE_BYTES} bytes")
            print(f"{'load':8} {'whose loop':12} {'probes':>6} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7}")
            for row in _rows(site, folder, idle.pid, arguments.clients, arguments.seconds):
                print(row, flush=True)
        idle.kill()
        idle.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
