"""The bare forward passes of a pack's detector and embedder: what nothing around them can be faster than.

They are given the very images that the service gives them, in engines and batches of their own: OpenVINO in float32 and
bfloat16 compiled for one shape each, ONNX Runtime in float32. Independent of `service.runtime`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnxruntime
import openvino
from numpy.typing import NDArray

from service.assembly import build_local_engine
from service.engine.local import running
from service.pipeline.set_keys import digest_sample
from service.protocols import PixelNetwork
from service.runtime.manifest import DetectorSpec, EmbedderSpec
from service.runtime.networks import open_network
from service.runtime.onnx import usable_cores
from service.runtime.pack import Pack
from service.settings import Settings
from service.types import FacePolicy, Sample, SetRequest
from service.vision.pixel_range import PixelRange

ENGINES = ("onnxruntime", "openvino f32", "openvino bf16")
Pass = Callable[[NDArray[np.float32]], object]
_FACES, _CANVAS_PIXELS = 4, 8 * 320 * 320
"""Of one batch: what was found fastest."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one network was given for some pictures: every image alone, in its own range, (1, 3, H, W)."""

    model: bytes
    most_per_pass: int
    images: tuple[NDArray[np.float32], ...]

    def batches(self, batched: bool) -> list[NDArray[np.float32]]:
        if not batched:
            return list(self.images)
        found: list[NDArray[np.float32]] = []
        for shape in dict.fromkeys(image.shape for image in self.images):
            alike = [image for image in self.images if image.shape == shape]
            most = _FACES if shape[2] == 112 else max(1, _CANVAS_PIXELS // (shape[2] * shape[3]))
            most = min(most, self.most_per_pass)
            found += [np.concatenate(alike[start : start + most]) for start in range(0, len(alike), most)]
        return found


class _Recorder:
    def __init__(self, network: PixelNetwork, spec: DetectorSpec | EmbedderSpec) -> None:
        self._network = network
        input_range = spec.input_range
        self._range = PixelRange(input_range.color_order, input_range.mean, input_range.std)
        self.images: list[NDArray[np.float32]] = []

    @property
    def provider(self) -> str:
        return self._network.provider

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        self.images += [self._range.to_input(image[None]) for image in images_bgr]
        return self._network.run(images_bgr)


def record_inputs(pack: Pack, pictures: Sequence[bytes]) -> list[Inputs]:
    """Of the detector and of the embedder, for one set of these pictures."""
    recorders: dict[str, _Recorder] = {}
    settings = Settings()

    def open_recording(spec: DetectorSpec | EmbedderSpec) -> PixelNetwork:
        recorders[spec.file] = _Recorder(open_network(pack, spec, settings), spec)
        return recorders[spec.file]

    samples = tuple(Sample(*each) for each in sorted({digest_sample(data): data for data in pictures}.items()))
    request = SetRequest("forward", samples, (), FacePolicy.LARGEST, pack.fingerprint, 300.0)

    async def record() -> None:
        async with running(build_local_engine(pack, settings, open_recording)) as engine:
            for recorder in recorders.values():
                recorder.images.clear()  # of the warm-up
            await engine.create(request)

    asyncio.run(record())
    detector, embedder = pack.manifest.detector, pack.manifest.embedder
    most = 1 if detector.algorithm == "scrfd" else 1000
    return [
        Inputs(pack.read_model(detector), most, tuple(recorders[detector.file].images)),
        Inputs(pack.read_model(embedder), 1000, tuple(recorders[embedder.file].images)),
    ]


class ForwardPasses:
    """All passes of some pictures in one engine, compiled and ready."""

    def __init__(self, inputs: Sequence[Inputs], engine: str, *, batched: bool, parallel: bool) -> None:
        """`engine`: `onnxruntime`, `openvino f32` or `openvino bf16`. `parallel`: as many single-threaded passes at
        once as there are cores, else one on all of them."""
        self.name = f"{engine}, {'batched' if batched else 'one at a time'}{', in parallel' if parallel else ''}"
        threads = 1 if parallel else usable_cores()
        self._workers = usable_cores() if parallel else 1
        self._work: list[list[tuple[Pass, NDArray[np.float32]]]] = [[] for _ in range(self._workers)]
        for each in inputs:
            batches = each.batches(batched)
            for worker in range(self._workers):
                mine = batches[worker :: self._workers]
                passes = {shape: _compile(engine, each.model, shape, threads) for shape in {b.shape for b in mine}}
                self._work[worker] += [(passes[batch.shape], batch) for batch in mine]
        self._pool = ThreadPoolExecutor(self._workers)
        self.run()

    def run(self) -> float:
        """Seconds."""
        began = time.perf_counter()
        list(self._pool.map(_run_all, self._work))
        return time.perf_counter() - began


def _run_all(work: Sequence[tuple[Pass, NDArray[np.float32]]]) -> None:
    for forward, batch in work:
        forward(batch)


def _compile(engine: str, model: bytes, shape: tuple[int, ...], threads: int) -> Pass:
    if engine == "onnxruntime":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda batch: session.run(None, {name: batch})
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape({network.inputs[0]: list(shape)})
    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": engine.split()[1],
    }
    request = core.compile_model(network, "CPU", hints).create_infer_request()
    return lambda batch: request.infer([batch], share_inputs=True)


def every_way(inputs: Sequence[Inputs]) -> Iterator[ForwardPasses]:
    """All engines, one image at a time and batched, the batched ones in parallel as well."""
    for engine in ENGINES:
        for batched, parallel in ((False, False), (True, False), (True, True)):
            yield ForwardPasses(inputs, engine, batched=batched, parallel=parallel)


def time_ways(ways: Sequence[ForwardPasses], rounds: int) -> dict[str, float]:
    """Median seconds of each, in turns."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            seconds[way.name].append(way.run())
    return {name: statistics.median(each) for name, each in seconds.items()}
