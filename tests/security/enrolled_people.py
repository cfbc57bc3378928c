"""Real people, a template each, in a store of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.cli.local_service import open_local_parts
from service.errors import NoUsableSampleError
from service.pipeline.verification import Verifier
from service.types import SetPolicies, Template

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class EnrolledPeople:
    template_ids: tuple[str, ...]
    vectors: NDArray[np.float32]  # (N, D), unit length
    highest_norm: float
    """Of their templates."""
    verifier: Verifier
    thresholds: Mapping[str, float]
    """By operating point, for two templates of the highest quality."""


def enrol_people(folder: Path, count: int) -> EnrolledPeople:
    """The first picture of each of so many people of a folder."""
    people = sorted(path for path in folder.iterdir() if path.is_dir())[: count + count // 10]
    pictures = {person.name: min(person.iterdir()).read_bytes() for person in people}
    return asyncio.run(_enrol(pictures, count))


async def _enrol(pictures: Mapping[str, bytes], count: int) -> EnrolledPeople:
    async with open_local_parts() as parts:
        places = asyncio.Semaphore(_AT_ONCE)

        async def enrol(name: str, picture: bytes) -> Template | None:
            async with places:
                try:
                    return (await parts.creator.create([picture], SetPolicies(), subject=name)).template
                except NoUsableSampleError:
                    return None

        found = await asyncio.gather(*(enrol(name, picture) for name, picture in pictures.items()))
        templates = [template for template in found if template is not None][:count]
        calibration = parts.pack.calibration
        assert calibration is not None and len(templates) == count
        best = calibration.buckets[-1]
        return EnrolledPeople(
            template_ids=tuple(template.template_id for template in templates),
            vectors=np.stack([template.vector for template in templates]),
            highest_norm=max(template.norm for template in templates),
            verifier=parts.verifier,
            thresholds={point.name: point.threshold for point in best.operating_points},
        )
