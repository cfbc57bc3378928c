"""`coreface bench`; what else it measures are sub-commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.operator_settings import read_settings
from service.cli.terminal import Terminal


def bench(
    context: typer.Context,
    images: Annotated[Path | None, typer.Option("--images", help="A folder with ten pictures or more.")] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Fresh sets measured.")] = 30,
    growth_sets: Annotated[int, typer.Option("--growth-sets", min=1, help="Sets over which memory is watched.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Measure speed and memory of a service of its own on this machine."""
    if context.invoked_subcommand is not None:
        return
    if images is None:
        raise typer.BadParameter("name a folder of pictures", context, param_hint="--images")
    from service.cli.bench import report_json, report_rows, run_bench

    terminal = Terminal(as_json=as_json)
    with terminal.progress("starting a service") as update:
        report = run_bench(
            images,
            read_settings(),
            repeats=repeats,
            growth_sets=growth_sets,
            progress=lambda step, done, total: update(f"{step} ({done}/{total})", done / total),
        )
    if as_json:
        terminal.show_json(report_json(report))
    else:
        terminal.show_table(("what", "measured"), report_rows(report))
