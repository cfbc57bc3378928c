"""The two sides of `coreface verify A... -- B...`: what was written, and what it means."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer
from typer.core import TyperCommand

from service.cli.sample_sets import images_of, read_file
from service.errors import SetupError

SEALED_SUFFIX = ".coreface"
"""Of a file that holds a sealed template."""
_DIVIDER = "\0--"
_SHIELD = "\0"
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class SidesCommand(TyperCommand):
    """Keeps the place of the first `--`, which the parser would swallow, so that options may follow it; and keeps a
    template id that begins with `-` from being read as an option."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if "--" in args:
            at = args.index("--")
            args = [*args[:at], _DIVIDER, *args[at + 1 :]]
        return super().parse_args(ctx, [_SHIELD + word if _is_dashed_id(word) else word for word in args])


def split_sides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Raises `SetupError` unless there is something on both sides of a `--`."""
    if _DIVIDER in arguments:
        at = list(arguments).index(_DIVIDER)
        reference, probe = list(arguments[:at]), list(arguments[at + 1 :])
        if reference and probe:
            return reference, probe
    raise SetupError("Name the reference, then `--`, then the probe: coreface verify A... -- B...")


def read_side(arguments: Sequence[str], policies: Mapping[str, str]) -> dict[str, object]:
    """One side as POST /v1/verify takes it: a template id, a sealed template, or images and folders of images
    with `policies`.

    Raises `SetupError`.
    """
    arguments = [argument.removeprefix(_SHIELD) for argument in arguments]
    if len(arguments) == 1:
        path = Path(arguments[0])
        if path.suffix == SEALED_SUFFIX and path.is_file():
            return {"sealed_template": base64.b64encode(read_file(path)).decode("ascii")}
        if not path.exists() and _TEMPLATE_ID.fullmatch(arguments[0]):
            return {"template_id": arguments[0]}
    files = [file for argument in arguments for file in _images(Path(argument))]
    return {
        "samples": [base64.b64encode(read_file(file)).decode("ascii") for file in files],
        **policies,
    }


def _is_dashed_id(word: str) -> bool:
    return word.startswith("-") and _TEMPLATE_ID.fullmatch(word) is not None


def _images(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        images = images_of(path)
        if not images:
            raise SetupError(f"{str(path)!r} holds no images.")
        return images
    if not path.exists():
        raise SetupError(f"{str(path)!r} is neither a file, a folder nor a template id.")
    if path.suffix == SEALED_SUFFIX:
        raise SetupError(f"{str(path)!r} is a sealed template: it must be the only thing on its side.")
    return (path,)
