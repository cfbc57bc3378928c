"""Where the figures of a run go: a CSV file for people and scripts, TensorBoard for curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TensorBoardTracker, on_main_process

CSV_FILE = "training.csv"


class CsvTracker(GeneralTracker):
    """One line for each logged step, in the columns of the first one. A resumed run goes on in the same file."""

    name = "csv"
    requires_logging_directory = False

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._path = directory / CSV_FILE

    @property
    def tracker(self) -> Path:
        return self._path

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Configurations are kept beside the weights, not here."""

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])


def tensorboard_tracker(directory: Path) -> GeneralTracker:
    """Event files below `directory/tensorboard`."""
    tracker: GeneralTracker = TensorBoardTracker("tensorboard", logging_dir=str(directory))
    return tracker
