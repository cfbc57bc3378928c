"""What a command writes: its answer on standard output, progress and errors on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

ProgressUpdate = Callable[[str, float], None]
"""Told what is being done now, and the share that is done, 0..1."""


class Terminal:
    """With `as_json`, the answer is one JSON document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show_json(self, answer: object) -> None:
        import orjson

        sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")

    def show_line(self, text: str) -> None:
        sys.stdout.write(text + "\n")

    def show_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            # As text: what comes from files and servers may look like markup.
            table.add_row(*(Text(cell) for cell in row))
        self._console(sys.stdout).print(table)

    def show_problem(self, problem: Mapping[str, Any]) -> None:
        """An error with at least `code` and `detail`; a problem document of the service is one."""
        if self.as_json:
            self.show_json({"error": problem})
            return
        side = f"{problem['side']}: " if problem.get("side") else ""
        sys.stderr.write(f"coreface: {side}{problem.get('detail', problem.get('code'))}\n")
        for sample in problem.get("samples", ()):
            sys.stderr.write(f"  sample {sample['index']}: {sample['reason']}\n")

    @contextmanager
    def progress(self, description: str) -> Iterator[ProgressUpdate]:
        """A bar on standard error, shown on a terminal only."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = self._console(sys.stderr)
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        with bar:
            task = bar.add_task(description, total=1.0)

            def update(step: str, share: float) -> None:
                bar.update(task, description=step, completed=share)

            yield update

    @staticmethod
    def _console(stream: object) -> Console:
        from rich.console import Console

        return Console(stderr=stream is sys.stderr, soft_wrap=False, highlight=False)
