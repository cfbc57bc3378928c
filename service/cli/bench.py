"""`coreface bench`: what this machine does with the installed pack, as medians and ratios of one run.

Starts a service of its own with an empty state directory, so that nothing is cached and nothing of a running service
is touched. Every uncached set is made new by bytes behind the end of its pictures, which decoders ignore.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from service.cli.bench_service import require_success, running_service
from service.cli.process_figures import find_children, memory_mib
from service.cli.sample_sets import IMAGE_SUFFIXES
from service.errors import SetupError
from service.pipeline.set_keys import digest_sample
from service.protocols import PixelNetwork
from service.runtime.manifest import DetectorSpec, EmbedderSpec
from service.runtime.pack import Pack, load_pack
from service.settings import Settings
from service.types import FacePolicy, Sample, SetRequest

SET_SIZE = 10


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Times in milliseconds are medians; memory is the resident set in MiB."""

    set_over_http_ms: float
    forward_ms: float
    """Forward passes of the same set's detections and embeddings, alone, in the same engine."""
    set_over_forward: float
    verify_by_id_ms: float
    cached_set_ms: float
    api_mib: float
    worker_mib: float
    growth_sets: int
    api_growth_mib: float
    worker_growth_mib: float


Progress = Callable[[str, int, int], None]
"""What is being measured, steps done, steps in all."""


def run_bench(images: Path, settings: Settings, *, repeats: int, growth_sets: int, progress: Progress) -> BenchReport:
    """Measure with the pictures under `images` (at least ten with a face each). Raises `SetupError`."""
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[:SET_SIZE]
    if len(paths) < SET_SIZE:
        raise SetupError(f"{images} holds {len(paths)} pictures; bench needs {SET_SIZE}.")
    pictures = [path.read_bytes() for path in paths]
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    forward = _forward_pass(pack, settings, pictures)
    with running_service(pack) as (process, client):
        session = _Session(client, pictures)
        session.create_set()  # the first one pays for what starts late
        over_http, bare = [], []
        for step in range(repeats):
            progress("set of 10 over HTTP, and its forward passes", step, repeats)
            over_http.append(_timed(session.create_set))
            bare.append(_timed(forward))
        verify = _median_of("verify by id", session.verify_by_id, 20 * repeats, progress)
        cached = _median_of("cached set", session.repeat_set, 20 * repeats, progress)
        before = _memory(process.pid)
        for step in range(growth_sets):
            progress("memory over many sets", step, growth_sets)
            session.create_small_set()
        after = _memory(process.pid)
    return BenchReport(
        set_over_http_ms=1e3 * statistics.median(over_http),
        forward_ms=1e3 * statistics.median(bare),
        set_over_forward=statistics.median(http / alone for http, alone in zip(over_http, bare, strict=True)),
        verify_by_id_ms=verify,
        cached_set_ms=cached,
        api_mib=after["api"],
        worker_mib=after["worker"],
        growth_sets=growth_sets,
        api_growth_mib=after["api"] - before["api"],
        worker_growth_mib=after["worker"] - before["worker"],
    )


def report_rows(report: BenchReport) -> list[tuple[str, str]]:
    """The report for people: what, and how much."""
    return [
        ("set of 10 pictures over HTTP", f"{report.set_over_http_ms:.1f} ms"),
        ("its detections and embeddings, forward passes alone", f"{report.forward_ms:.1f} ms"),
        ("HTTP / forward passes", f"{report.set_over_forward:.2f} x"),
        ("verify by id, p50", f"{report.verify_by_id_ms:.2f} ms"),
        ("cached set of 10, p50", f"{report.cached_set_ms:.2f} ms"),
        ("API process", f"{report.api_mib:.0f} MiB"),
        ("worker process", f"{report.worker_mib:.0f} MiB"),
        (f"growth over {report.growth_sets} sets, API", f"{report.api_growth_mib:+.1f} MiB"),
        (f"growth over {report.growth_sets} sets, worker", f"{report.worker_growth_mib:+.1f} MiB"),
    ]


def report_json(report: BenchReport) -> dict[str, float]:
    return asdict(report)


class _Session:
    """The requests of the bench."""

    def __init__(self, client: httpx.Client, pictures: Sequence[bytes]) -> None:
        self._client = client
        self._pictures = pictures
        self._counter = itertools.count()
        self._kept_id = self._create(pictures)

    def create_set(self) -> None:
        self._create(self._renewed(SET_SIZE))

    def create_small_set(self) -> None:
        self._create(self._renewed(2))

    def repeat_set(self) -> None:
        self._create(self._pictures)

    def verify_by_id(self) -> None:
        side = {"template_id": self._kept_id}
        require_success(self._client.post("/v1/verify", json={"reference": side, "probe": side}))

    def _renewed(self, count: int) -> list[bytes]:
        mark = next(self._counter).to_bytes(8, "big")
        return [picture + mark for picture in self._pictures[:count]]

    def _create(self, pictures: Sequence[bytes]) -> str:
        files = [("samples", ("picture", data, "application/octet-stream")) for data in pictures]
        response = self._client.post("/v1/templates", files=files)
        require_success(response)
        template_id: str = response.json()["template_id"]
        return template_id


class _RecordingNetwork:
    """A network that remembers what it was asked."""

    def __init__(self, network: PixelNetwork) -> None:
        self._network = network
        self.asked: list[NDArray[np.uint8]] = []

    @property
    def provider(self) -> str:
        return self._network.provider

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        self.asked.append(images_bgr.copy())
        return self._network.run(images_bgr)

    def replay(self) -> None:
        """Everything asked so far, again."""
        for images_bgr in self.asked:
            self._network.run(images_bgr)


def _forward_pass(pack: Pack, settings: Settings, pictures: Sequence[bytes]) -> Callable[[], None]:
    """Detector and embedder alone on the very inputs that the service gives them, in the service's own engine."""
    # Only here: the command line starts without decoders and networks.
    from service.assembly import build_local_engine
    from service.engine.local import running
    from service.runtime.networks import open_network

    recorded: dict[str, _RecordingNetwork] = {}

    def open_recording(spec: DetectorSpec | EmbedderSpec) -> PixelNetwork:
        recorded[spec.file] = _RecordingNetwork(open_network(pack, spec, settings))
        return recorded[spec.file]

    samples = tuple(Sample(digest, data) for digest, data in sorted((digest_sample(data), data) for data in pictures))
    request = SetRequest("bench", samples, (), FacePolicy.LARGEST, pack.fingerprint, 60.0)

    async def record() -> None:
        async with running(build_local_engine(pack, settings, open_recording)) as engine:
            await engine.create(request)

    asyncio.run(record())

    def replay() -> None:
        for network in recorded.values():
            network.replay()

    return replay


def _median_of(name: str, action: Callable[[], None], count: int, progress: Progress) -> float:
    """Milliseconds."""
    seconds = []
    for step in range(count):
        progress(name, step, count)
        seconds.append(_timed(action))
    return 1e3 * statistics.median(seconds)


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _memory(supervisor_pid: int) -> dict[str, float]:
    """MiB of the API and of the worker."""
    pids = find_children(supervisor_pid)
    return {role: memory_mib(pids.get(role)) for role in ("api", "worker")}
