"""Builds a pack beside the installed ones and moves it into place when it is whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STAGING_PREFIX = ".building-"
_REPLACED_PREFIX = ".replaced-"


@contextmanager
def staging_directory(packs_path: Path) -> Iterator[Path]:
    """An empty directory on the file system of `packs_path`, gone afterwards unless it was moved into place.

    One installation at a time: a second process waits here. What an interrupted one left behind is removed.
    """
    packs_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (packs_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for prefix in (_STAGING_PREFIX, _REPLACED_PREFIX):
            for leftover in packs_path.glob(f"{prefix}*"):
                shutil.rmtree(leftover)
        stage = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=packs_path))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def move_into_place(stage: Path, target: Path) -> None:
    """`stage` becomes `target`; a reader sees the old pack or the new one, or for a moment none, never a mixture."""
    for file in stage.iterdir():
        _flush(file)
    _flush(stage)
    if target.exists() or target.is_symlink():
        target.rename(target.with_name(f"{_REPLACED_PREFIX}{target.name}"))
    stage.rename(target)
    _flush(target.parent)
    replaced = target.with_name(f"{_REPLACED_PREFIX}{target.name}")
    if replaced.is_symlink():
        replaced.unlink()
    elif replaced.exists():
        shutil.rmtree(replaced)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
