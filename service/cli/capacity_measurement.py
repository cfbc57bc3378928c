"""Measures the profile of this machine: what `service.capacity` needs to know of it.

Stages      the engine in this process, sets of several sizes one at a time, each batch as the stage itself saw it
Worker      the event loop of that engine, and the queue's commands
Queue       a server of its own, the commands of a set's way at two sizes
API, store  CPU of the processes of a service of the bench's own, over HTTP, sets of two sizes
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from service.assembly import batch_limits, build_local_engine, decode_threads
from service.capacity.fitting import fit_cost
from service.capacity.profile import STAGES, Cost, Profile
from service.cli.bench_service import require_success, running_service
from service.cli.process_figures import cpu_seconds, find_children
from service.cli.queue_measurement import measure_queue
from service.cli.sample_sets import IMAGE_SUFFIXES
from service.engine.local import running
from service.errors import SetupError
from service.pipeline.set_keys import digest_sample
from service.pipeline.stages import BatchDone
from service.runtime.gpu import is_gpu
from service.runtime.pack import Pack, load_pack
from service.settings import Device, Settings
from service.store.embedded import EmbeddedValkey
from service.types import FacePolicy, Sample, SetRequest

LINK_BYTES_PER_S = 1.25e9
"""Assumed: 10 Gbit/s in each direction."""
_SIZES = (2, 10)
"""Pictures of the sets that go over HTTP."""
_STAGE_SIZES = (1, 2, 4, 8, 16)
_MOST_PICTURES = 200
_PATIENCE_S = 60.0
_IDLE_S = 4.0

Progress = Callable[[str, float], None]
"""What is being measured, and the share that is done."""


def measure_profile(images: Path, settings: Settings, *, repeats: int, progress: Progress) -> Profile:
    """With the pictures under `images`, in sets of 1 to 16; `repeats` sets of each size. Raises `SetupError`."""
    pictures = _Pictures(images)
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    progress("stages", 0.0)
    stages, loop, provider = asyncio.run(_measure_stages(pack, settings, pictures, repeats))
    progress("queue", 0.4)
    with tempfile.TemporaryDirectory(prefix="cf-") as directory:
        server = EmbeddedValkey(Path(directory))
        try:
            queue = asyncio.run(measure_queue(server.start()))
        finally:
            server.stop()
    progress("API and store", 0.5)
    threads = decode_threads(settings)
    used = _measure_service(pack, threads, pictures, 2 * repeats)
    on_gpu = is_gpu(provider)
    return Profile(
        machine=f"{threads} core(s) of {platform.machine()}, {provider}, pack {pack.name}, "
        f"pictures of {pictures.mean_bytes / 1000:.0f} kB, queue server at {queue.sets_per_s:.0f} sets/s of 150 kB",
        sample_bytes=round(pictures.mean_bytes),
        cores=threads + (1 if on_gpu else 0),
        device_threads=batch_limits(settings).parallel,
        decode_threads=threads,
        on_gpu=on_gpu,
        stages=stages,
        worker=Cost(loop.base_s + queue.client.base_s, loop.per_item_s + queue.client.per_item_s * pictures.mean_bytes),
        api=used["api"],
        queue=queue.cost,
        store_s=max(0.0, used["store"].of(_SIZES[1]) - queue.cost.of(_SIZES[1] * pictures.mean_bytes)),
        link_bytes_per_s=LINK_BYTES_PER_S,
    )


class _Pictures:
    """Sets of pictures that were never sent before: bytes behind the end of a picture, which decoders ignore."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[:_MOST_PICTURES]
        if not paths:
            raise SetupError(f"{str(folder)!r} holds no pictures.")
        self._pictures = [path.read_bytes() for path in paths]
        self._order = itertools.cycle(self._pictures)
        self._marks = itertools.count()

    @property
    def mean_bytes(self) -> float:
        return statistics.fmean(map(len, self._pictures))

    def next_set(self, size: int) -> list[bytes]:
        return [picture + next(self._marks).to_bytes(8, "big") for picture in itertools.islice(self._order, size)]


async def _measure_stages(
    pack: Pack, settings: Settings, pictures: _Pictures, repeats: int
) -> tuple[Mapping[str, Cost], Cost, str]:
    """Stages and the event loop beside them, by picture, and the execution provider that ran."""
    loop_s: dict[int, list[float]] = defaultdict(list)
    seen: dict[tuple[str, int], list[float]] = defaultdict(list)
    # A thread that does all the work itself is timed by its processor, so that others on the machine falsify little.
    alone = settings.threads == 1 and settings.device is Device.CPU
    size = 0

    def note(done: BatchDone) -> None:
        # Decoding takes picture by picture; of the other stages one batch is the set.
        seen[done.stage, 1 if done.stage == "decode" else size].append(done.cpu_s if alone else done.service_s)

    async with running(build_local_engine(pack, settings, observe=note)) as engine:
        for size in (*_STAGE_SIZES[-1:], *_STAGE_SIZES):
            if size == _STAGE_SIZES[0]:
                seen.clear()  # the first sets pay for what starts late
            for _ in range(repeats):
                samples = [Sample(digest_sample(data), data) for data in pictures.next_set(size)]
                samples.sort(key=lambda sample: sample.digest)
                request = SetRequest("bench", tuple(samples), (), FacePolicy.LARGEST, pack.fingerprint, _PATIENCE_S)
                began = time.thread_time()
                await engine.create(request)
                loop_s[size].append(time.thread_time() - began)
        provider = (await engine.status()).providers[0]
    costs = {name: fit_cost({at: times for (stage, at), times in seen.items() if stage == name}) for name in STAGES}
    return costs, fit_cost(loop_s), provider


def _measure_service(pack: Pack, threads: int, pictures: _Pictures, sets: int) -> dict[str, Cost]:
    """CPU of `api` and of the one thread of `store` for one set, by picture, beyond what they do when nothing comes."""
    with running_service(pack, {"COREFACE_THREADS": str(threads)}) as (process, client):
        pids = find_children(process.pid)

        def spent(action: Callable[[], None]) -> dict[str, float]:
            """With `elapsed`, seconds."""
            clocks: dict[str, Callable[[], float]] = {
                "elapsed": time.perf_counter,
                "api": lambda: cpu_seconds(pids.get("api")),
                "store": lambda: cpu_seconds(pids.get("store"), main_thread=True),
            }
            before = {name: clock() for name, clock in clocks.items()}
            action()
            return {name: clock() - before[name] for name, clock in clocks.items()}

        def send_sets(size: int) -> None:
            for _ in range(sets):
                _send(client, pictures.next_set(size))

        send_sets(_SIZES[0])  # the first ones pay for what starts late
        idle = spent(lambda: time.sleep(_IDLE_S))
        used = {size: spent(functools.partial(send_sets, size)) for size in _SIZES}
    return {
        role: fit_cost(
            {
                size: [max(0.0, each[role] - idle[role] * each["elapsed"] / idle["elapsed"]) / sets]
                for size, each in used.items()
            }
        )
        for role in ("api", "store")
    }


def _send(client: httpx.Client, pictures: Sequence[bytes]) -> None:
    files = [("samples", ("picture", data, "application/octet-stream")) for data in pictures]
    require_success(client.post("/v1/templates", files=files))
