"""On the default pack and real pictures, a template never depends on what is processed beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.assembly import build_local_engine
from service.engine.local import LocalEngine, running
from service.pipeline.set_keys import digest_sample
from service.runtime.pack import load_pack
from service.settings import Device, Settings
from service.types import FacePolicy, Sample, SetRequest, SetResult

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("neighbours")]

NAMES = ("George_W_Bush", "Colin_Powell", "Tony_Blair", "Serena_Williams", "Hugo_Chavez")
OTHERS = ("crowd.jpg", "mask.jpg", "pixel_rotated_r90.jpg", "no_face_landscape.jpg", "raw_not_an_image.nv21")


def engine_of(pack_path: Path, *, threads: int, batch_size: int) -> LocalEngine:
    settings = Settings(device=Device.CPU, threads=threads, batch_size=batch_size)
    return build_local_engine(load_pack(pack_path), settings)


def make_set(fingerprint: str, number: int, paths: Sequence[Path]) -> SetRequest:
    contents = {digest_sample(data): data for data in (path.read_bytes() for path in paths)}
    samples = tuple(Sample(digest, data) for digest, data in sorted(contents.items()))
    return SetRequest(f"set {number}", samples, (), FacePolicy.LARGEST, fingerprint, 60.0)


@pytest.fixture(scope="module")
def sets(shared_data: Path, default_pack_path: Path) -> list[SetRequest]:
    """Sets of 1 to 6 pictures, and one of photographs that take every turn of the pipeline."""
    fingerprint = load_pack(default_pack_path).fingerprint
    sized = [
        [shared_data / "lfw" / name / f"{name}_{index:04d}.jpg" for index in range(1, size + 1)]
        for size, name in zip((1, 2, 3, 5, 6), NAMES, strict=True)
    ]
    sized.append([shared_data / "photos" / name for name in OTHERS])
    return [make_set(fingerprint, number, paths) for number, paths in enumerate(sized)]


def vectors(engine: LocalEngine, batches: Sequence[Sequence[SetRequest]]) -> list[dict[str, np.ndarray]]:
    """Of each batch of sets that are worked on together."""

    async def run() -> list[list[SetResult]]:
        async with running(engine):
            return [await asyncio.gather(*(engine.create(request) for request in batch)) for batch in batches]

    answers = []
    for results in asyncio.run(run()):
        assert all(result.aggregation is not None for result in results)
        answers.append({result.request_id: result.aggregation.vector for result in results if result.aggregation})
    return answers


@pytest.fixture(scope="module")
def alone(sets: list[SetRequest], default_pack_path: Path) -> dict[str, np.ndarray]:
    """Each set by itself, one face a pass, on one thread."""
    answers = vectors(engine_of(default_pack_path, threads=1, batch_size=1), [[request] for request in sets])
    return {name: vector for answer in answers for name, vector in answer.items()}


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 32), (1, 3), (2, 32), (2, 5)])
def test_no_bit_changes_with_neighbours_threads_or_batch_size(
    sets: list[SetRequest], alone: dict[str, np.ndarray], default_pack_path: Path, threads: int, batch_size: int
) -> None:
    engine = engine_of(default_pack_path, threads=threads, batch_size=batch_size)
    for answer in vectors(engine, [sets, sets[::-1], sets[1:4], sets[-2:]]):
        for name, vector in answer.items():
            np.testing.assert_array_equal(vector, alone[name], err_msg=name)
