"""Labeled Faces in the Wild: where its images lie, and which people serve which purpose."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from models.datasets.people import Person


class Split(StrEnum):
    """Groups of people, disjoint. Only the first three may decide anything; the last two report."""

    TRAIN = "train"
    """People with two images or more: weights are learned on them."""
    VALIDATION = "validation"
    """People with two images or more: choices are made and thresholds measured on them."""
    SINGLE_TRAIN = "single_train"
    """People with one image: thresholds are measured on them."""
    TEST = "test"
    """People with two images or more."""
    SINGLE_TEST = "single_test"
    """People with one image."""


def lfw_people(data: Path, split: Split) -> tuple[Person, ...]:
    """The people of `split`, sorted by name. `data` holds `lfw/` and `lfw_splits.json`."""
    names = json.loads((data / "lfw_splits.json").read_text(encoding="utf-8"))[split.value]
    return tuple(Person(name, tuple(sorted((data / "lfw" / name).glob("*.jpg")))) for name in sorted(names))
