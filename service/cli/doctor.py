"""`coreface doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from service.cli.operator_settings import read_settings
from service.cli.terminal import Terminal


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False) -> None:
    """Say what is installed, what really runs and what is wrong. Ends with 1 when something is broken."""
    from service.cli.checks import run_checks

    settings = read_settings()
    terminal = Terminal(as_json=as_json)
    with terminal.progress("checking") as update:
        checks = run_checks(settings, update)
    if as_json:
        terminal.show_json({"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]})
    else:
        rows = [("ok" if check.ok else "BROKEN", check.name, check.found) for check in checks]
        terminal.show_table(("", "check", "found"), rows)
        for check in checks:
            if not check.ok:
                terminal.show_line(f"{check.name}: {check.remedy}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
