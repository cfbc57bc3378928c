"""Profiles in which everything but what a test looks at is free."""

from __future__ import annotations

import math
from collections.abc import Mapping

from service.capacity.profile import STAGES, Cost, Profile

FREE = Cost(0.0, 0.0)


def profile(
    stages: Mapping[str, Cost] | None = None,
    *,
    cores: float = math.inf,
    device_threads: int = 1,
    decode_threads: int = 1,
    on_gpu: bool = False,
    worker: Cost = FREE,
    api: Cost = FREE,
    queue: Cost = FREE,
    sample_bytes: int = 1,
    link_bytes_per_s: float = math.inf,
) -> Profile:
    return Profile(
        machine="made up",
        sample_bytes=sample_bytes,
        cores=cores,
        device_threads=device_threads,
        decode_threads=decode_threads,
        on_gpu=on_gpu,
        stages={name: (stages or {}).get(name, FREE) for name in STAGES},
        worker=worker,
        api=api,
        queue=queue,
        store_s=0.0,
        link_bytes_per_s=link_bytes_per_s,
    )
