"""How long uploads keep the event loop of an API process from everybody else: `python -m benchmarks.event_loop_lag`.

One API process with a probe in its loop, Redis and a worker that sleeps get sets of pictures that nobody sent before,
as forms and as JSON, from a few clients at once. Beside it runs a process that does nothing but to look how late its
own loop is: what both show is the machine's. `p99 own` is processor time of the loop's thread between two looks, 5 ms
apart: what the lag would be without others who want the processor. The goal is a p99 of 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import itertools
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx

from benchmarks.loop_probe import take_seen
from benchmarks.sleeping_site import SleepingSite, busy_share, machine_ticks
from service.child_processes import start_child
from tests.pipeline.fakes import png
from tests.resilience.figures import quantile

GOAL_MS = 20.0
_SETTLE_S = 1.0
_BOUNDARY = b"0123456789abcdef"
_serial = itertools.count()

Request = tuple[bytes, str]
"""Body and content type."""
Pictures = Sequence[bytes]
Seen = list[tuple[float, float]]


def _form(pictures: Pictures) -> Request:
    part = b'--%b\r\ncontent-disposition: form-data; name="samples"; filename="p"\r\n\r\n%b\r\n'
    body = b"".join(part % (_BOUNDARY, picture) for picture in pictures) + b"--%b--\r\n" % _BOUNDARY
    return body, f"multipart/form-data; boundary={_BOUNDARY.decode()}"


def _json(pictures: Pictures) -> Request:
    samples = b",".join(b'"%b"' % base64.b64encode(picture) for picture in pictures)
    return b'{"samples": [%b]}' % samples, "application/json"


def _nothing(_pictures: Pictures) -> None:
    return None


LOADS: dict[str, Callable[[Pictures], Request | None]] = {"nothing": _nothing, "forms": _form, "JSON": _json}


def _fresh(make: Callable[[Pictures], Request | None], samples: int, filling: bytes) -> Request | None:
    """Of pictures that nobody sent before."""
    return make([png(content=b"%d of %d " % (next(_serial), os.getpid()) + filling) for _ in range(samples)])


async def _send_for(url: str, make: Callable[[], Request | None], clients: int, seconds: float) -> Counter[int]:
    """What was answered, by status."""
    statuses: Counter[int] = Counter()
    ends_at = time.monotonic() + seconds

    async def send() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
            while time.monotonic() < ends_at:
                request = make()
                if request is None:
                    await asyncio.sleep(0.1)
                    continue
                body, content_type = request
                response = await client.post("/v1/templates", content=body, headers={"content-type": content_type})
                statuses[response.status_code] += 1

    await asyncio.gather(*(send() for _ in range(clients)))
    return statuses


def _take(folder: Path, pid: int) -> Seen:
    os.kill(pid, signal.SIGUSR1)
    while (seen := take_seen(folder, pid)) is None:
        time.sleep(0.01)
    return seen


def _figures(seen: Seen) -> str:
    lags, own = ([1000 * values[at] for values in seen] for at in (0, 1))
    shown = (quantile(lags, 0.5), quantile(lags, 0.99), max(lags), quantile(own, 0.99))
    return "".join(f"{value:9.1f}" for value in shown)


def _rows(site: SleepingSite, folder: Path, idle_pid: int, options: argparse.Namespace) -> Iterator[str]:
    filling = os.urandom(options.sample_bytes)
    for load, make in LOADS.items():
        time.sleep(_SETTLE_S)
        for pid in (site.api_pid, idle_pid):
            _take(folder, pid)
        before = machine_ticks()
        fresh = functools.partial(_fresh, make, options.samples, filling)
        statuses = asyncio.run(_send_for(site.url, fresh, options.clients, options.seconds))
        busy = busy_share(before, machine_ticks())
        seen = _take(folder, site.api_pid)
        verdict = "holds" if 1000 * quantile([lag for lag, _ in seen], 0.99) <= GOAL_MS else "MISSED"
        yield f"{load:8} API process  {_figures(seen)}  {verdict}  {dict(statuses)}, machine busy {busy:.0%}"
        yield f"{'':8} idle process {_figures(_take(folder, idle_pid))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--samples", type=int, default=8, help="of one set")
    parser.add_argument("--sample-bytes", type=int, default=500_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        idle = start_child(
            [sys.executable, "-m", "benchmarks.loop_probe", directory], death_signal=signal.SIGKILL, env=os.environ
        )
        with SleepingSite(folder, ("benchmarks.loop_probe", directory)) as site:
            site.set_workers(1)
            print(f"{options.clients} clients, sets of {options.samples} x {options.sample_bytes} bytes; milliseconds")
            print(f"{'load':8} {'whose loop':12} {'p50':>9}{'p99':>9}{'max':>9}{'p99 own':>9}")
            for row in _rows(site, folder, idle.pid, options):
                print(row, flush=True)
        idle.kill()
        idle.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
