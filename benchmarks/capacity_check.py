"""Holds the capacity model against a real site: `python -m benchmarks.capacity_check`.

Real worker processes whose stages sleep for known times, one API process and Redis on the loopback interface get
loads of 50 % and 80 % of what the model says they can do, one client, and more clients than they can serve. The
simulation gets the very same sets at the same times. What it needs to know beside the stages, the CPU of API, worker
and queue for one set, is measured first. Prints a table, and writes all figures as JSON with `--output FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.loads import SAMPLE_BYTES, send_at, send_closed
from benchmarks.sleeping_site import DECODE_THREADS, CpuTimes, SleepingSite, busy_share, machine_ticks
from benchmarks.sleeping_worker import STAGES
from service.capacity.load import poisson_arrivals, set_sizes, sizes_between
from service.capacity.planning import sets_per_worker
from service.capacity.profile import Cost, Profile
from service.capacity.site import Site, SiteSize
from service.capacity.summary import Passage, Summary, summarise

SAMPLES = (1, 8)
"""Of a set, any number between them."""
GOAL = 0.10
MOST_BUSY = 0.7
"""Share of the machine's cores: beyond, what is measured is the wait for a core."""
_CALIBRATION_SETS = 120
_CALIBRATION_CLIENTS = 8
_CLIENTS_PER_WORKER = 32
_WARM_UP_S = 4.0
_SETTLE_S = 1.0
"""Until the API process has seen how many workers there are."""
_QUIET_S = 3.0
_QUIET_BUSY = 0.3
_LOADS = ("one client", "50 %", "80 %", "saturated")
_MEASURES = ("sets_per_s", "p50_s", "p99_s")


@dataclass(frozen=True, slots=True)
class Cell:
    """One load on so many workers, once."""

    workers: int
    load: str
    repeat: int
    busy: float
    """Share of the machine's cores that worked meanwhile, whoever they worked for, 0..1."""
    real: Summary
    simulated: Summary


def measure_costs(site: SleepingSite) -> Profile:
    """What one set costs API, worker and queue, beside the stages: from sets of two sizes."""
    site.set_workers(1)
    time.sleep(_SETTLE_S)
    small, large = SAMPLES[0], SAMPLES[1]
    asyncio.run(send_closed(site.url, _CALIBRATION_CLIENTS, [large] * _CALIBRATION_CLIENTS))
    used = {samples: _cpu_of_sets(site, samples) for samples in (small, large)}

    def cost(name: str) -> Cost:
        low, high = getattr(used[small], name), getattr(used[large], name)
        per_item_s = max(0.0, (high - low) / (large - small))
        return Cost(low - small * per_item_s, per_item_s)

    store = cost("store")
    return Profile(
        machine=f"{platform.machine()}, workers asleep",
        sample_bytes=SAMPLE_BYTES,
        cores=64,  # asleep, they share none
        device_threads=min(DECODE_THREADS, 4),
        decode_threads=DECODE_THREADS,
        on_gpu=False,
        stages=STAGES,
        worker=cost("workers"),
        api=cost("api"),
        # The store's commands and the queue's go to one server here.
        queue=Cost(store.base_s, store.per_item_s / SAMPLE_BYTES),
        store_s=0.0,
        link_bytes_per_s=1e9,
    )


def _cpu_of_sets(site: SleepingSite, samples: int) -> CpuTimes:
    before = site.cpu_times()
    asyncio.run(send_closed(site.url, _CALIBRATION_CLIENTS, [samples] * _CALIBRATION_SETS))
    used = site.cpu_times().since(before)
    return CpuTimes(*(seconds / _CALIBRATION_SETS for seconds in (used.api, used.workers, used.store)))


def wait_until_quiet(patience_s: float) -> None:
    """Until others leave the machine alone for a moment, or patience is at its end."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        ticks = machine_ticks()
        time.sleep(_QUIET_S)
        if busy_share(ticks, machine_ticks()) < _QUIET_BUSY:
            return


def measure_cell(site: SleepingSite, profile: Profile, workers: int, load: str, seconds: float, repeat: int) -> Cell:
    size_of = sizes_between(*SAMPLES)
    most = workers * sets_per_worker(profile, SAMPLES)
    simulated = Site(profile, SiteSize(apis=1, workers=workers, queues=1))
    real: list[Passage]
    ticks = machine_ticks()
    if load.endswith("%"):
        rate = most * float(load.removesuffix(" %")) / 100
        arrivals = poisson_arrivals(rate, round(rate * (seconds + _WARM_UP_S)), size_of, seed=repeat)
        real, model = asyncio.run(send_at(site.url, arrivals)), list(simulated.run(arrivals).passages)
        until_s = arrivals[-1].at_s
    else:
        clients = 1 if load == "one client" else _CLIENTS_PER_WORKER * workers
        count = round((2.5 if clients == 1 else most) * seconds)
        sizes = set_sizes(count, size_of, seed=repeat)
        real = asyncio.run(send_closed(site.url, clients, sizes))
        model = list(simulated.run_closed(clients, sizes).passages)
        # Until the first client finds nothing more to send.
        until_s = min(*(_last_coming(passages) for passages in (real, model)))
    busy = busy_share(ticks, machine_ticks())
    spans = [summarise(passages, _WARM_UP_S, until_s) for passages in (real, model)]
    return Cell(workers, load, repeat, busy, *spans)


def _last_coming(passages: list[Passage]) -> float:
    return max(passage.came_s for passage in passages)


def rows(cells: list[Cell]) -> Iterator[dict[str, object]]:
    """By workers and load: medians over the repeats, and the median of the ratios real / simulated. Repeats count in
    which the machine was not too busy; where it always was, all do."""
    for workers, load in dict.fromkeys((cell.workers, cell.load) for cell in cells):
        same = [cell for cell in cells if (cell.workers, cell.load) == (workers, load)]
        same = [cell for cell in same if cell.busy <= MOST_BUSY] or same
        row: dict[str, object] = {"workers": workers, "load": load, "repeats": len(same)}
        row["busy"] = statistics.median(cell.busy for cell in same)
        for measure in _MEASURES:
            ratios = [getattr(cell.real, measure) / getattr(cell.simulated, measure) for cell in same]
            row[measure] = statistics.median(getattr(cell.real, measure) for cell in same)
            row[f"{measure}_ratio"] = statistics.median(ratios)
        yield row


def table(cells: list[Cell]) -> str:
    """In markdown; a ratio that misses the goal is bold."""
    lines = [
        "| workers | load | sets/s | real / model | p50, ms | real / model | p99, ms | real / model | repeats | busy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(cells):
        line = f"| {row['workers']} | {row['load']} "
        for measure in _MEASURES:
            value, ratio = float(str(row[measure])), float(str(row[f"{measure}_ratio"]))
            shown = f"{value:.1f}" if measure == "sets_per_s" else f"{1e3 * value:.0f}"
            verdict = f"{ratio:.2f}" if abs(ratio - 1) <= GOAL else f"**{ratio:.2f}**"
            line += f"| {shown} | {verdict} "
        lines.append(f"{line}| {row['repeats']} | {float(str(row['busy'])):.0%} |")
    return "\n".join(lines)


def write_report(path: Path, profile: Profile, cells: list[Cell]) -> None:
    """All that is known so far."""
    report = {"profile": profile.to_json(), "rows": list(rows(cells)), "cells": [asdict(cell) for cell in cells]}
    path.write_text(json.dumps(report, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="most workers")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for a quiet machine, each load")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory(prefix="cf-") as directory, SleepingSite(Path(directory)) as site:
        wait_until_quiet(options.patience)
        profile = measure_costs(site)
        print(json.dumps(profile.to_json(), indent=1), file=sys.stderr)
        for repeat in range(options.repeats):
            for workers in range(1, options.workers + 1):
                site.set_workers(workers)
                time.sleep(_SETTLE_S)
                for load in _LOADS:
                    wait_until_quiet(options.patience)
                    cells.append(measure_cell(site, profile, workers, load, options.seconds, repeat))
                    print(table(cells[-1:]).splitlines()[-1], file=sys.stderr)
                    if options.output is not None:
                        write_report(options.output, profile, cells)
    print(table(cells))


if __name__ == "__main__":
    main()
