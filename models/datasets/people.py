"""People and where their images lie: what every data set comes down to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


@dataclass(frozen=True, slots=True)
class Person:
    """One identity."""

    name: str
    images: tuple[Path, ...]
    """Sorted, so that what is drawn from a seed stays the same."""


def people_in_folders(root: Path, *, fewest_images: int = 1) -> tuple[Person, ...]:
    """An image folder for each identity, `root/PERSON/*.jpg`: the layout of WebFace4M and of most data sets.

    Sorted by name; people with fewer than `fewest_images` images are left out. Raises ValueError where nobody is left.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is no directory")
    people = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        images = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES))
        if images and len(images) >= fewest_images:
            people.append(Person(folder.name, images))
    if not people:
        raise ValueError(f"{root} holds no folder with {fewest_images} image(s) or more")
    return tuple(people)
