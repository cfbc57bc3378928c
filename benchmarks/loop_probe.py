"""How late an event loop is: `python -m benchmarks.loop_probe FOLDER [--port PORT]`.

With a port it is an API process with a probe in its loop; without, a process that does nothing else, whose lag is that
of the machine. SIGUSR1 writes what was seen since the last time to FOLDER and begins anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from pathlib import Path

from service.api.http_server import serve_http
from service.app import create_app
from service.http_listening import open_listener
from service.settings import Settings

PERIOD_S = 0.005


class LoopProbe:
    """Wakes every 5 ms, and notes how late, and how much of the processor its thread used meanwhile: on a machine that
    does other things as well, being late is not the loop's own doing alone."""

    def __init__(self, folder: Path) -> None:
        self._file = file_of(folder, os.getpid())
        self._seen: list[tuple[float, float]] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._write)
        while True:
            due, worked_s = loop.time() + PERIOD_S, time.thread_time()
            await asyncio.sleep(PERIOD_S)
            self._seen.append((loop.time() - due, time.thread_time() - worked_s))

    def _write(self) -> None:
        # Beside it first, so that nobody reads half of it.
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(self._seen))
        beside.rename(self._file)
        self._seen.clear()


def file_of(folder: Path, pid: int) -> Path:
    return folder / f"lags-{pid}.json"


def take_seen(folder: Path, pid: int) -> list[tuple[float, float]] | None:
    """Lags, and processor time of the loop's thread, seconds, as written since last taken; None: nothing yet."""
    file = file_of(folder, pid)
    if not file.exists():
        return None
    seen: list[tuple[float, float]] = json.loads(file.read_text())
    file.unlink()
    return seen


async def _run(folder: Path, port: int | None) -> None:
    probe = asyncio.create_task(LoopProbe(folder).run())
    if port is None:
        await probe
        return
    settings = Settings(port=port)
    with open_listener(settings.host, port, who="The API", remedy="") as listener:
        await serve_http(create_app(settings), [listener], drain_delay_s=0.0, limits=settings.limits)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.folder, arguments.port))
