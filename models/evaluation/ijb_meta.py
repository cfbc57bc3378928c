"""The meta files of IJB-B and IJB-C: one record a line, fields separated by spaces.

Source: Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", CVPRW 2017; Maze et al., "IARPA Janus Benchmark - C",
ICB 2018; in the form in which the field hands them round with images named one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IjbMeta:
    """I images, R records that put an image into a template, C comparisons."""

    images: tuple[str, ...]
    """Names, in the order of the landmark file."""
    landmarks: NDArray[np.float32]  # (I, 5, 2)
    """Pixels of the image: eyes, nose, corners of the mouth."""
    record_image: Numbers  # (R,)
    """Place in `images`."""
    record_template: Numbers  # (R,)
    """Template id."""
    record_medium: Numbers  # (R,)
    """Medium id: frames of one video share it."""
    first: Numbers  # (C,)
    """Template id."""
    second: Numbers  # (C,)
    mated: NDArray[np.bool_]  # (C,)


def read_ijb_meta(folder: Path, subset: str) -> IjbMeta:
    """`subset`: "ijbb" or "ijbc". Raises ValueError, which names file and line, for a record of another form."""
    images: dict[str, int] = {}
    landmarks: list[list[float]] = []
    for place, fields in _records(folder / f"{subset}_name_5pts_score.txt", 12):
        images[fields[0]] = len(landmarks)
        landmarks.append(_floats(place, fields[1:11]))
    record_image, record_template, record_medium = [], [], []
    for place, fields in _records(folder / f"{subset}_face_tid_mid.txt", 3):
        if fields[0] not in images:
            raise ValueError(f"{place}: {fields[0]} has no landmarks")
        template, medium = _integers(place, fields[1:])
        record_image.append(images[fields[0]])
        record_template.append(template)
        record_medium.append(medium)
    comparisons = []
    for place, fields in _records(folder / f"{subset}_template_pair_label.txt", 3):
        comparison = _integers(place, fields)
        if comparison[2] not in (0, 1):
            raise ValueError(f"{place}: the label is neither 0 nor 1")
        comparisons.append(comparison)
    pairs = np.array(comparisons, dtype=np.int64)
    unknown = np.setdiff1d(pairs[:, :2], record_template)
    if len(unknown):
        raise ValueError(f"template {unknown[0]} is compared but holds no image")
    return IjbMeta(
        images=tuple(images),
        landmarks=np.array(landmarks, dtype=np.float32).reshape(-1, 5, 2),
        record_image=np.array(record_image, dtype=np.int64),
        record_template=np.array(record_template, dtype=np.int64),
        record_medium=np.array(record_medium, dtype=np.int64),
        first=pairs[:, 0],
        second=pairs[:, 1],
        mated=pairs[:, 2] == 1,
    )


def _records(path: Path, fields: int) -> Iterator[tuple[str, list[str]]]:
    """Where each record stands, and its fields."""
    with path.open(encoding="utf-8") as file:
        number = 0
        for number, line in enumerate(file, 1):
            values = line.split()
            if len(values) != fields:
                raise ValueError(f"{path.name}, line {number}: {len(values)} fields instead of {fields}")
            yield f"{path.name}, line {number}", values
    if number == 0:
        raise ValueError(f"{path.name} is empty")


def _integers(place: str, fields: list[str]) -> list[int]:
    try:
        return [int(field) for field in fields]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _floats(place: str, fields: list[str]) -> list[float]:
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
