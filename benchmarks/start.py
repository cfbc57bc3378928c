"""Cold start and memory of `coreface serve` with an installed pack.

`python -m benchmarks.start --images DIR [--output FILE]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.http_load import closed_load
from benchmarks.pictures import SetRequests, read_pictures
from service.cli.bench_service import running_service
from service.cli.process_figures import find_children, memory_mib
from service.runtime.pack import load_pack
from service.settings import Settings


def measure(images: Path, *, starts: int, seconds: float) -> dict[str, Any]:
    """Seconds from the start of the process to ready, and resident memory in MiB."""
    settings = Settings()
    pack = load_pack(settings.packs_path / settings.pack)
    ready_s = []
    for _ in range(starts):
        began = time.perf_counter()
        with running_service(pack):
            ready_s.append(time.perf_counter() - began)
    pictures = tuple(read_pictures(images, 300))
    with running_service(pack) as (process, client):
        pids = find_children(process.pid)
        port = client.base_url.port or 80

        def memory() -> dict[str, float]:
            return {role: memory_mib(pids.get(role)) for role in ("api", "worker", "store")}

        after_start = memory()
        closed_load(port, SetRequests(pictures, 10), concurrency=1, seconds=seconds)
        one_at_a_time = memory()
        highest = dict.fromkeys(after_start, 0.0)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                for role, mib in memory().items():
                    highest[role] = max(highest[role], mib)

        watcher = threading.Thread(target=watch)
        watcher.start()
        closed_load(port, SetRequests(pictures, 10), concurrency=16, seconds=seconds)
        done.set()
        watcher.join()
        time.sleep(1.0)
        at_rest = memory()
    return {
        "ready_s": {"median": statistics.median(ready_s), "all": ready_s},
        "mib": {
            "after the start": after_start,
            "sets one at a time": one_at_a_time,
            "16 sets of 10 at once, highest": highest,
            "at rest after that": at_rest,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(measure(options.images, starts=options.starts, seconds=options.seconds), indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
