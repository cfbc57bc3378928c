"""What the offline commands share: their arguments, their progress and how they write results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.errors import CorefaceError
from service.runtime.pack import Pack, load_pack
from service.settings import Settings

CACHE_DIRECTORY = Path("artefacts/embeddings")


def command_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Defaults are shown in the help, and no option is guessed from its beginning."""
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def data_parser(program: str, description: str) -> argparse.ArgumentParser:
    """With the arguments that every command on LFW's people takes."""
    parser = command_parser(program, description)
    parser.add_argument(
        "--data", type=Path, required=True, help="directory with lfw/, lfw_pairs.txt and lfw_splits.json"
    )
    parser.add_argument("--pack", required=True, help="installed pack, or its directory: the detector and embedder")
    parser.add_argument(
        "--cache", type=Path, default=CACHE_DIRECTORY, help="directory where extracted embeddings are kept"
    )
    return parser


def named_pack(name: str) -> Pack:
    """An installed pack by its name, or a pack by its directory. Ends the program with one line where there is none."""
    directory = Path(name)
    try:
        return load_pack(directory if directory.is_dir() else Settings().packs_path / name)
    except CorefaceError as error:
        raise SystemExit(f"coreface: {error.detail}") from error


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, told (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Indented, with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
