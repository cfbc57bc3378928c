"""The file of `coreface enrol --results`: what became of every image, kept while it is done.

Every set is one line of JSON in a journal (the `.jsonl` file itself, or one beside the table), written and flushed when
the set is done, so that a run that was cut off goes on where it ended. Tables are made of it at the end.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson

from service.errors import SetupError

if TYPE_CHECKING:
    from service.cli.sample_sets import SampleSet
    from service.cli.service_connection import Answer

SUFFIXES = (".csv", ".parquet", ".jsonl")
OF_THE_SET = ("set", "template_id", "error", "detail", "set_quality", "consistent", "cached", "expires_at")
OF_THE_IMAGE = (
    "file",
    "status",
    "reason",
    "quality",
    "feature_norm",
    "group",
    "core_rank",
    "weight",
    "eye_distance",
    "sharpness",
    "brightness",
    "yaw",
    "roll",
    "box_x1",
    "box_y1",
    "box_x2",
    "box_y2",
    "digest",
)
COLUMNS = OF_THE_SET + OF_THE_IMAGE
"""A table has one row for each image; what is of the set stands in every row of it."""
_BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
_STRINGS = ("set", "template_id", "error", "detail", "expires_at", "file", "status", "reason", "digest")
_TRUTHS = ("consistent", "cached")
_WHOLE = ("group", "core_rank")


class EnrolmentResults:
    """An open journal. Not for two processes at once."""

    def __init__(self, path: Path, journal: Path, known: frozenset[str]) -> None:
        """Use `open_results`."""
        self.path = path
        self._journal = journal
        self._known = known
        self._lines = journal.open("ab")

    def has_template_of(self, signature: str) -> bool:
        """Whether an earlier run made a template of this very set."""
        return signature in self._known

    def add(self, entry: Answer, signature: str) -> None:
        """Keep what became of a set."""
        self._lines.write(orjson.dumps({"signature": signature, **entry}) + b"\n")
        self._lines.flush()

    def close(self) -> None:
        """Make the table. The journal stays, for whoever resumes later."""
        os.fsync(self._lines.fileno())
        self._lines.close()
        if self.path == self._journal:
            return
        draft = self.path.with_name(f".{self.path.name}.draft")
        if self.path.suffix == ".csv":
            _write_csv(draft, self._journal)
        else:
            _write_parquet(draft, self._journal)
        draft.replace(self.path)


def open_results(path: Path, *, resume: bool) -> EnrolmentResults:
    """Raises `SetupError` for another suffix, for a file that is there and is not to be gone on with, and where a table
    of this kind cannot be written here."""
    if path.suffix not in SUFFIXES:
        raise SetupError(f"--results takes a file that ends in {', '.join(SUFFIXES)}, not {str(path)!r}.")
    if path.suffix == ".parquet":
        _parquet()
    journal = path if path.suffix == ".jsonl" else path.with_name(f"{path.name}.journal.jsonl")
    if not resume and (path.exists() or journal.exists()):
        raise SetupError(f"{str(path)!r} is there already: go on with it by --resume, or name another file.")
    try:
        _drop_torn_line(journal)
        known = frozenset(entry["signature"] for entry in _read(journal) if "template_id" in entry)
        return EnrolmentResults(path, journal, known)
    except OSError as error:
        raise SetupError(f"{str(journal)!r} cannot be written: {error.strerror}.") from error


def set_signature(sample_set: SampleSet, policies: Mapping[str, str]) -> str:
    """Of what is sent: the files' paths, sizes and times of change, and the policies. Another picture in a folder makes
    another set of it."""
    parts: list[object] = [sorted(policies.items())]
    for path in sample_set.files:
        try:
            found = path.stat()
            parts.append((str(path), found.st_size, found.st_mtime_ns))
        except OSError:
            parts.append((str(path), None, None))
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def rows_of(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each image of a set, with `COLUMNS`; None for what is not known."""
    error = entry.get("error") or {}
    of_the_set = {
        "set": entry["name"],
        "template_id": entry.get("template_id"),
        "error": error.get("code"),
        "detail": error.get("detail"),
        "set_quality": entry.get("quality"),
        "consistent": entry.get("consistent"),
        "cached": entry.get("cached"),
        "expires_at": entry.get("expires_at"),
    }
    samples = {sample["index"]: sample for sample in entry.get("samples") or error.get("samples") or ()}
    for index, file in enumerate(entry["files"]):
        sample = samples.get(index, {})
        box = sample.get("box") or (None,) * len(_BOX)
        known = {**sample, "file": file, **dict(zip(_BOX, box, strict=True))}
        yield of_the_set | {column: known.get(column) for column in OF_THE_IMAGE}


def _drop_torn_line(journal: Path) -> None:
    """What a process that was killed had begun to write."""
    if not journal.exists():
        return
    with journal.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        end = stream.tell()
        while end > 0:
            start = max(0, end - io.DEFAULT_BUFFER_SIZE)
            stream.seek(start)
            last = stream.read(end - start).rfind(b"\n")
            if last >= 0:
                stream.truncate(start + last + 1)
                return
            end = start
        stream.truncate(0)


def _read(journal: Path) -> Iterator[dict[str, Any]]:
    """The last word on every set."""
    if not journal.exists():
        return
    last: dict[str, int] = {}
    with journal.open("rb") as lines:
        for number, line in enumerate(lines):
            last[_entry(journal, number, line)["signature"]] = number
        lines.seek(0)
        for number, line in enumerate(lines):
            entry = _entry(journal, number, line)
            if last[entry["signature"]] == number:
                yield entry


def _entry(journal: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get("signature"), str):
        raise SetupError(f"{str(journal)!r}: line {number + 1} is no result of `coreface enrol`; name another file.")
    return entry


def _write_csv(path: Path, journal: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for entry in _read(journal):
            writer.writerows(rows_of(entry))


def _write_parquet(path: Path, journal: Path) -> None:
    arrow, parquet = _parquet()
    kinds = {column: arrow.float64() for column in COLUMNS}
    kinds |= dict.fromkeys(_STRINGS, arrow.string())
    kinds |= dict.fromkeys(_TRUTHS, arrow.bool_())
    kinds |= dict.fromkeys(_WHOLE, arrow.int32())
    schema = arrow.schema([(column, kinds[column]) for column in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _in_portions([*rows_of(entry)] for entry in _read(journal)):
            writer.write_table(arrow.Table.from_pylist(rows, schema))


def _in_portions(parts: Iterator[Sequence[dict[str, Any]]], most: int = 20_000) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    for rows in parts:
        portion += rows
        if len(portion) >= most:
            yield portion
            portion = []
    yield portion


def _parquet() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SetupError(
            "Parquet needs pyarrow: install coreface[tables], or let --results end in .csv or .jsonl."
        ) from error
    return pyarrow, parquet
