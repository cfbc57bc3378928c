"""What things cost on one kind of machine: measured there, kept as JSON, and simulated anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from service.errors import SetupError

STAGES = ("decode", "align", "detect", "embed", "aggregate")


@dataclass(frozen=True, slots=True)
class Cost:
    """A fixed part and one for each picture (or byte, where it says so), seconds."""

    base_s: float
    per_item_s: float

    def of(self, items: float) -> float:
        return self.base_s + self.per_item_s * items


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs of one kind of site. Stages are by picture, one batch at a time on an idle machine."""

    machine: str
    """For people: what it is, and what was measured with which pictures."""
    sample_bytes: int
    """Of one picture, on average."""
    cores: float
    """Of one worker, shared by all its threads but a GPU's."""
    device_threads: int
    """That compute forward passes at once; on a GPU one."""
    decode_threads: int
    on_gpu: bool
    """The stages of the networks take no share of the worker's cores."""
    stages: Mapping[str, Cost]
    """Of `STAGES`."""
    worker: Cost
    """Fetching, opening and answering one set: CPU of the worker's event loop, by picture."""
    api: Cost
    """CPU of an API process for one set, by picture."""
    queue: Cost
    """CPU of a queue server's one thread for the whole way of one set, by byte of its samples."""
    store_s: float
    """CPU of the store for one set, beside the queue's."""
    link_bytes_per_s: float
    """Between a queue server and everybody else, in each direction."""

    def set_bytes(self, samples: float) -> float:
        return samples * self.sample_bytes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_profile(path: Path) -> Profile:
    """Raises `SetupError` where the file is no profile."""
    try:
        row = json.loads(path.read_bytes())
        costs = {name: _cost(row[name]) for name in ("worker", "api", "queue")}
        stages = {name: _cost(row["stages"][name]) for name in STAGES}
        profile = Profile(
            machine=str(row["machine"]),
            sample_bytes=int(row["sample_bytes"]),
            cores=float(row["cores"]),
            device_threads=int(row["device_threads"]),
            decode_threads=int(row["decode_threads"]),
            on_gpu=bool(row["on_gpu"]),
            stages=stages,
            store_s=float(row["store_s"]),
            link_bytes_per_s=float(row["link_bytes_per_s"]),
            **costs,
        )
    except OSError as error:
        raise SetupError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        wanted = ", ".join(field.name for field in fields(Profile))
        raise SetupError(f"{str(path)!r} is no profile ({error}); it has {wanted}.") from error
    above_0 = (profile.cores, profile.device_threads, profile.decode_threads, profile.link_bytes_per_s)
    if min(profile.sample_bytes, *above_0) <= 0:
        raise SetupError(f"{str(path)!r}: bytes, cores, threads and the link are above 0.")
    return profile


def _cost(row: Mapping[str, Any]) -> Cost:
    cost = Cost(float(row["base_s"]), float(row["per_item_s"]))
    if not (0 <= cost.base_s < math.inf and 0 <= cost.per_item_s < math.inf):
        raise ValueError("a cost is finite and not negative")
    return cost
