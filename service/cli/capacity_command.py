"""`coreface bench capacity`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.operator_settings import read_settings
from service.cli.terminal import ProgressUpdate, Terminal
from service.errors import SetupError

if TYPE_CHECKING:
    from service.capacity.planning import Plan
    from service.capacity.profile import Profile

_RATES = (10.0, 100.0, 1_000.0, 10_000.0)


def capacity(
    images: Annotated[Path | None, typer.Option("--images", help="Measure this machine with these pictures.")] = None,
    profile_path: Annotated[Path | None, typer.Option("--profile", help="Costs that were measured elsewhere.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write the costs here, for --profile.")] = None,
    rates: Annotated[
        list[float] | None, typer.Option("--sets-per-second", min=0.001, help="May be given several times.")
    ] = None,
    samples: Annotated[str, typer.Option("--samples", help="Pictures of a set: a number, or a range as 5-15.")] = "10",
    p99_ms: Annotated[float, typer.Option("--p99-ms", min=1, help="99 of 100 sets are answered in so long.")] = 1000,
    split_workers: Annotated[
        bool, typer.Option("--split-workers", help="Each worker takes from one queue server, not from all.")
    ] = False,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Sets of each size that are measured.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Say how many workers, cores, API processes and queue servers it takes for so many sets a second."""
    from service.capacity.planning import Demand, plan_site

    sizes = _read_sizes(samples)
    terminal = Terminal(as_json=as_json)
    with terminal.progress("measuring") as update:
        profile = _find_profile(images, profile_path, repeats, update)
        settings = read_settings()
        plans: list[Plan] = []
        wanted = rates or _RATES
        for number, rate in enumerate(wanted):
            update(f"simulating {rate:g} sets/s", 0.8 + 0.2 * number / len(wanted))
            demand = Demand(rate, sizes, p99_ms / 1000)
            plans.append(
                plan_site(
                    profile,
                    demand,
                    max_batch_sets=settings.max_batch_sets,
                    batch_size=settings.batch_size,
                    split_workers=split_workers,
                )
            )
    if output is not None:
        _write_profile(output, profile)
    if as_json:
        terminal.show_json({"profile": profile.to_json(), "plans": [asdict(plan) for plan in plans]})
        return
    terminal.show_line(f"{profile.machine}; sets of {samples}; p99 within {p99_ms:g} ms\n")
    terminal.show_table(("cost of", "fixed", "by picture"), list(_cost_rows(profile)))
    terminal.show_line("")
    columns = ("sets/s", "workers", "their cores", "API", "queue servers", "MB/s", "p50, ms", "p99, ms")
    terminal.show_table(columns, [_plan_row(plan) for plan in plans])


def _read_sizes(samples: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", samples)
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= least <= most:
        raise typer.BadParameter(f"{samples!r} is neither a number from 1 on nor a range", param_hint="--samples")
    return least, most


def _find_profile(images: Path | None, profile_path: Path | None, repeats: int, update: ProgressUpdate) -> Profile:
    if images is not None and profile_path is None:
        from service.cli.capacity_measurement import measure_profile

        return measure_profile(images, read_settings(), repeats=repeats, progress=update)
    if profile_path is not None and images is None:
        from service.capacity.profile import read_profile

        return read_profile(profile_path)
    raise typer.BadParameter("name a folder of pictures, or a file with --profile", param_hint="--images")


def _write_profile(path: Path, profile: Profile) -> None:
    import orjson

    try:
        path.write_bytes(orjson.dumps(profile.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise SetupError(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def _cost_rows(profile: Profile) -> Iterator[tuple[str, str, str]]:
    costs = {**profile.stages, "worker, beside its stages": profile.worker, "API process": profile.api}
    for name, cost in costs.items():
        yield name, f"{1e3 * cost.base_s:.2f} ms", f"{1e3 * cost.per_item_s:.3f} ms"
    by_picture_s = profile.queue.per_item_s * profile.sample_bytes
    yield "queue server", f"{1e3 * profile.queue.base_s:.2f} ms", f"{1e3 * by_picture_s:.3f} ms"
    yield "store, beside the queue", f"{1e3 * profile.store_s:.2f} ms", ""


def _plan_row(plan: Plan) -> tuple[str, ...]:
    rate, volume = f"{plan.demand.sets_per_s:g}", f"{plan.bytes_per_s / 1e6:.0f}"
    if plan.site is None or plan.summary is None:
        return rate, "not in time", "", "", "", volume, "", ""
    size, summary = plan.site, plan.summary
    counts = (str(size.workers), f"{plan.worker_cores:g}", str(size.apis), str(size.queues))
    return rate, *counts, volume, f"{1e3 * summary.p50_s:.0f}", f"{1e3 * summary.p99_s:.0f}"
