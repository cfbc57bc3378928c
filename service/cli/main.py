"""`coreface`: the commands, and how their failures are told. Each command loads what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from service import __version__
from service.cli import (
    bench_command,
    calibrate,
    capacity_command,
    doctor,
    enrolment,
    explanation,
    keys,
    packs,
    processes,
    rewrap,
    templates,
    upgrade,
    verification,
)
from service.cli.sides import SidesCommand
from service.cli.terminal import Terminal
from service.errors import CorefaceError
from service.observability.logs import configure_command_logging

EXIT_ERROR = 2
"""Whatever kept a command from its answer; 1 is left to answers (`non_match`, a set that failed, a broken check)."""


def main() -> None:
    """Entry point of the `coreface` script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and answer its exit status. Errors become one line, never a traceback."""
    # What a command loads may log, and standard output is for its answer. Processes that serve have logs of their own.
    configure_command_logging()
    try:
        build_cli()(args=list(arguments), prog_name="coreface")
    except CorefaceError as error:
        Terminal(as_json="--json" in arguments).show_problem({"code": error.code, "detail": error.detail})
        return EXIT_ERROR
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else EXIT_ERROR
    return 0


def build_cli() -> typer.Typer:
    """The tree of commands."""
    cli = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    cli.callback()(_options)
    cli.command()(processes.serve)
    cli.command()(processes.api)
    cli.command()(processes.worker)
    cli.command()(enrolment.enrol)
    cli.command(cls=SidesCommand)(verification.verify)
    cli.command()(explanation.explain)
    cli.command()(calibrate.calibrate)
    cli.command()(upgrade.upgrade)
    cli.command()(rewrap.rewrap)
    pack_commands = typer.Typer(help="Install and look at model packs.", no_args_is_help=True)
    pack_commands.command("list")(packs.show_packs)
    pack_commands.command("install")(packs.install)
    pack_commands.command("verify")(packs.verify)
    cli.add_typer(pack_commands, name="packs")
    key_commands = typer.Typer(help="Make and end API keys.", no_args_is_help=True)
    key_commands.command("create")(keys.create)
    key_commands.command("list")(keys.show)
    key_commands.command("rotate")(keys.rotate)
    key_commands.command("revoke")(keys.revoke)
    cli.add_typer(key_commands, name="keys")
    template_commands = typer.Typer(help="Look at the templates of a service, and end them.", no_args_is_help=True)
    template_commands.command("list")(templates.show_all)
    template_commands.command("show")(templates.show)
    template_commands.command("expire")(templates.expire)
    template_commands.command("erase")(templates.erase)
    cli.add_typer(template_commands, name="templates")
    cli.command()(doctor.doctor)
    benches = typer.Typer(invoke_without_command=True)
    benches.callback()(bench_command.bench)
    benches.command()(capacity_command.capacity)
    cli.add_typer(benches, name="bench")
    cli.command()(processes.openapi)
    return cli


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"coreface {__version__}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Face templates from sample sets, and 1:1 verification."""


if __name__ == "__main__":
    main()
