"""Which files make which sample set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import SetupError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""What is taken from a folder. A file that is named on the command line is taken whatever its suffix."""


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The images of one subject."""

    name: str
    """The folder's name; for loose files the first one's."""
    files: tuple[Path, ...]

    def read(self) -> tuple[bytes, ...]:
        """Raises `SetupError` for a file that cannot be read."""
        return tuple(read_file(path) for path in self.files)


def find_sample_sets(paths: Sequence[Path]) -> list[SampleSet]:
    """Loose files form one set; a folder of images is one set; a folder of folders is one set per folder.

    Raises `SetupError` where that is not clear, or where there is nothing.
    """
    loose = tuple(path for path in paths if not path.is_dir())
    sets = [SampleSet(loose[0].stem, loose)] if loose else []
    for path in loose:
        if not path.exists():
            raise SetupError(f"There is no file or folder {str(path)!r}.")
    for path in paths:
        if path.is_dir():
            sets += _sets_of_folder(path)
    return sets


def images_of(folder: Path) -> tuple[Path, ...]:
    """The images that lie in a folder, by name; hidden ones are left out."""
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def read_file(path: Path) -> bytes:
    """Raises `SetupError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def _sets_of_folder(folder: Path) -> list[SampleSet]:
    images = images_of(folder)
    subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if images and subfolders:
        raise SetupError(
            f"{str(folder)!r} holds both images and folders: it is not clear which images are one subject."
        )
    if images:
        return [SampleSet(folder.resolve().name, images)]
    sets = [SampleSet(path.name, images_of(path)) for path in subfolders]
    found = [sample_set for sample_set in sets if sample_set.files]
    if not found:
        raise SetupError(f"{str(folder)!r} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return found
