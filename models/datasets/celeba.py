"""The small CelebA set: `images/NAME.jpg` at 89x109 pixels and `identities.csv` (image, identity)."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from models.datasets.people import Person


def celeba_people(folder: Path, *, fewest_images: int = 2) -> tuple[Person, ...]:
    """The people with at least `fewest_images` images, sorted by identity. Raises ValueError for another format."""
    images: dict[int, list[Path]] = defaultdict(list)
    with (folder / "identities.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                images[int(row["identity"])].append(folder / "images" / row["image"])
            except (KeyError, ValueError) as error:
                raise ValueError(f"{folder / 'identities.csv'} is no list of image and identity") from error
    return tuple(
        Person(f"celeba {identity}", tuple(sorted(paths)))
        for identity, paths in sorted(images.items())
        if len(paths) >= fewest_images
    )
