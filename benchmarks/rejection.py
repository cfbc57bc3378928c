"""How long refusing a hostile file takes: `python -m benchmarks.rejection`.

The files of `tests.hostile` that their headers give away are sent to a real API process, each as a set of its own and
each time as bytes that nobody sent before, by a few clients at once. Beside them, as a measure of the machine, a file
of sixteen bytes that is no image. Prints a table; the goal is a p99 of 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.sleeping_site import SleepingSite
from tests.hostile.corpus import hostile_files
from tests.resilience.figures import quantile

GOAL_MS = 50.0
_NO_IMAGE = b"this is no image"
_REFUSED = 422
_serial = itertools.count()

Durations = list[tuple[float, str]]
"""Seconds, and the name of the file."""


def _hostile() -> list[tuple[str, bytes]]:
    """Name and content; without those that only a decoder finds out, and the empty one."""
    files = [file for file in hostile_files() if file.reason is not None and not file.by_decoder]
    return [(file.name, data) for file in files if (data := file.make())]


def _send_all(url: str, files: Sequence[tuple[str, bytes]], clients: int, rounds: int) -> Durations:
    """Raises `RuntimeError` where a file is not refused as the samples of a set are."""
    durations: Durations = []
    queue = iter([file for _ in range(rounds) for file in files])

    async def send() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
            for name, data in queue:
                # What comes after an image is ignored, but makes it a new one.
                sample = data + b"%12d" % next(_serial)
                began = time.perf_counter()
                answer = await client.post("/v1/templates", files=[("samples", ("x", sample))])
                durations.append((time.perf_counter() - began, name))
                if answer.status_code != _REFUSED:
                    raise RuntimeError(f"{name}: {answer.status_code} {answer.text}")

    async def send_all() -> None:
        await asyncio.gather(*(send() for _ in range(clients)))

    asyncio.run(send_all())
    return durations


def _row(durations: Durations, what: str) -> str:
    seconds = [duration for duration, _ in durations]
    p50, p99, most = (1000 * quantile(seconds, share) for share in (0.5, 0.99, 1.0))
    verdict = "holds" if p99 <= GOAL_MS else "MISSED"
    return f"{what:14} {len(seconds):8} {p50:7.1f} {p99:7.1f} {most:7.1f}  {verdict:6} {max(durations)[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    files = _hostile()
    with tempfile.TemporaryDirectory() as directory, SleepingSite(Path(directory)) as site:
        site.set_workers(1)
        _send_all(site.url, [("no image", _NO_IMAGE)], 1, 50)  # so that nothing is done for the first time
        largest = max(len(data) for _, data in files)
        print(f"{arguments.clients} clients, {len(files)} files of up to {largest:,} bytes, {arguments.rounds} rounds")
        print(f"{'what':14} {'refusals':>8} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7}  {'':6} slowest")
        for what, sent in (("no image", [("no image", _NO_IMAGE)] * len(files)), ("hostile files", files)):
            print(_row(_send_all(site.url, sent, arguments.clients, arguments.rounds), what), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
