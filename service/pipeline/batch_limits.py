"""How the work of the networks is cut into batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Part = TypeVar("_Part")
_CPU_IMAGES, _CPU_FACES = 8, 4
"""On a CPU more of them gain nothing, and their feature maps cost memory and fall out of its cache."""
_GPU_IMAGES = 32
_COMMON_CANVAS = 320
"""Side, in pixels."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch takes at most, over all sets, and how many batches are computed at once."""

    images: int
    """In which faces are looked for."""
    faces: int
    """That are embedded."""
    parallel: int
    """Forward passes."""

    @property
    def canvas_pixels(self) -> int:
        """Of the detector's canvases in one pass: as many as those of most photographs have."""
        return self.images * _COMMON_CANVAS**2


def limits_on_cpu(batch_size: int, parallel: int) -> BatchLimits:
    """`batch_size`: the faces that the settings allow."""
    return BatchLimits(_CPU_IMAGES, min(_CPU_FACES, batch_size), parallel)


def limits_on_gpu(batch_size: int) -> BatchLimits:
    """One batch at a time, which fills the device."""
    return BatchLimits(_GPU_IMAGES, batch_size, 1)


def share_out(parts: Sequence[_Part], most: int, parallel: int) -> list[Sequence[_Part]]:
    """Even shares of one set's parts, `most` in each at most: enough of them to keep all busy that compute at once.
    Where others wait as well, a batch takes several shares."""
    count = max(math.ceil(len(parts) / most), min(len(parts), parallel))
    return [parts[len(parts) * share // count : len(parts) * (share + 1) // count] for share in range(count)]
