"""`coreface packs`: list, install, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.completion import complete_pack
from service.cli.operator_settings import read_settings
from service.cli.terminal import Terminal

Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def show_packs(as_json: Json = False) -> None:
    """Which packs are known and which are installed."""
    from service.packs.listing import list_packs

    settings = read_settings()
    listings = list_packs(settings.packs_path)
    terminal = Terminal(as_json=as_json)
    if as_json:
        terminal.show_json(
            [
                {
                    "name": listing.name,
                    "installed": listing.is_installed,
                    "current": listing.name == settings.pack,
                    "version": listing.version,
                    "fingerprint": listing.fingerprint,
                    "license": listing.license.model_dump(),
                }
                for listing in listings
            ]
        )
        return
    terminal.show_table(
        ("pack", "installed", "fingerprint", "licence of the weights"),
        [
            (
                listing.name + (" (current)" if listing.name == settings.pack else ""),
                "yes" if listing.is_installed else "no",
                listing.fingerprint or "-",
                listing.license.spdx + ("" if listing.license.commercial_use else ", no commercial use"),
            )
            for listing in listings
        ],
    )


def install(
    name: Annotated[
        str, typer.Argument(help="For example `opencv-sface` or `buffalo_s`.", autocompletion=complete_pack)
    ],
    from_directory: Annotated[
        Path | None, typer.Option("--from", help="Take the files from this directory, not from the network.")
    ] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the terms of the weights, where they ask for it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a pack, verify it and move it into place. A pack that is there and whole is left alone."""
    from service.packs.installation import install_pack

    settings = read_settings()
    terminal = Terminal(as_json=as_json)
    with terminal.progress(f"installing {name}") as update:
        pack = install_pack(
            name,
            settings.packs_path,
            from_directory=from_directory,
            accept_license=accept_license,
            progress=update,
        )
    if as_json:
        terminal.show_json({"name": pack.name, "fingerprint": pack.fingerprint, "directory": str(pack.directory)})
    else:
        terminal.show_line(f"{pack.name} is installed (fingerprint {pack.fingerprint}).")


def verify(
    name: Annotated[
        str | None, typer.Argument(help="Unset: the pack of COREFACE_PACK.", autocompletion=complete_pack)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every file of an installed pack and run each of its networks once."""
    from service.packs.verification import verify_pack

    settings = read_settings()
    terminal = Terminal(as_json=as_json)
    with terminal.progress("verifying"):
        pack = verify_pack(settings.packs_path / (name or settings.pack))
    if as_json:
        terminal.show_json({"name": pack.name, "fingerprint": pack.fingerprint, "verified": True})
    else:
        terminal.show_line(f"{pack.name} is whole and runs (fingerprint {pack.fingerprint}).")
