"""Whether int8 is worth it: speed and accuracy of every engine and precision for a pack's embedder and detector.

`python -m benchmarks.quantisation --data DATA [--pack NAME] [--part speed|pairs|sets|all] [--output FILE]`. Ranges of
activations are learnt on LFW's `train` people. Speed in turns on one thread, batches of four faces or two canvases of
320; accuracy on LFW's 6,000 pairs and, by the set protocol, on the `test` people.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.precision import open_vision
from models.aggregation.extraction import LIMITS, PackVision, extract
from models.commands import named_pack, progress_bar
from models.datasets.lfw import Split, lfw_people
from models.evaluation.aggregates import aggregate_with_file
from models.evaluation.lfw_pairs import embed_images, images_of_pairs, measure_accuracy, read_pairs
from models.evaluation.set_protocol import SetProtocol, compare_draws, draw_sets
from models.export.quantisation import quantise, with_plain_prelu
from service.assembly import build_detector, build_embedder
from service.calibration.error_rates import FMRS, error_rates
from service.errors import PackError
from service.protocols import PixelNetwork
from service.runtime.manifest import DetectorSpec, EmbedderSpec
from service.runtime.networks import on_pixels
from service.runtime.onnx import CPU_PROVIDER, OnnxSession, open_session
from service.runtime.openvino import OpenVinoNetwork
from service.runtime.pack import Pack
from service.settings import Precision
from service.types import Embedding
from service.vision.alignment import align_face
from service.vision.canvas import fit_to_canvas
from service.vision.decoding import decode_image
from service.vision.pixel_range import PixelRange

LEARNT_FROM = 240
"""Images."""
_CANVAS = 320
_CHUNK = 8
_FACES = 4

Spec = DetectorSpec | EmbedderSpec
Opener = Callable[[], PixelNetwork]


def engines(spec: Spec, model: bytes, int8: bytes, threads: int) -> Iterator[tuple[str, Opener]]:
    """By name; opened one after the other."""

    def on_onnxruntime(content: bytes) -> PixelNetwork:
        session = OnnxSession(open_session(content, spec.file, [CPU_PROVIDER], threads=threads), spec.file)
        return on_pixels(session, spec.input_range)

    def on_openvino(content: bytes, half: bool) -> PixelNetwork:
        return OpenVinoNetwork(content, spec.file, spec.input_range, half=half, threads=threads, passes=threads)

    plain = with_plain_prelu(model)
    yield "ONNX Runtime float32", lambda: on_onnxruntime(model)
    yield "ONNX Runtime int8", lambda: on_onnxruntime(int8)
    yield "OpenVINO float32", lambda: on_openvino(plain, False)
    yield "OpenVINO bfloat16", lambda: on_openvino(model, True)
    yield "OpenVINO bfloat16, plain PRelu", lambda: on_openvino(plain, True)
    yield "OpenVINO int8", lambda: on_openvino(int8, False)
    yield "OpenVINO int8 and bfloat16", lambda: on_openvino(int8, True)


class Learning:
    """Images of the `train` people, as detector and embedder see them."""

    def __init__(self, pack: Pack, data: Path) -> None:
        vision = open_vision(pack, Precision.FLOAT32)
        people = lfw_people(data, Split.TRAIN)
        paths = [person.images[0] for person in people][:LEARNT_FROM]
        pictures = [decode_image(path.read_bytes(), LIMITS) for path in paths]
        self.canvases = np.zeros((len(pictures), _CANVAS, _CANVAS, 3), np.uint8)
        for picture, canvas in zip(pictures, self.canvases, strict=True):
            fit_to_canvas(picture, canvas, upscale=pack.manifest.detector.upscale)
        found: list[NDArray[np.uint8]] = []
        for start in range(0, len(pictures), _CHUNK):
            some = pictures[start : start + _CHUNK]
            found += [
                align_face(picture, face.landmarks)
                for picture, face in zip(some, vision.find_faces(some), strict=True)
                if face is not None
            ]
        self.faces = np.stack(found)

    def images_of(self, spec: Spec) -> NDArray[np.uint8]:
        return self.canvases if isinstance(spec, DetectorSpec) else self.faces

    def int8(self, pack: Pack, spec: Spec) -> bytes:
        input_range = spec.input_range
        pixels = PixelRange(input_range.color_order, input_range.mean, input_range.std)
        batch = 1 if isinstance(spec, DetectorSpec) and spec.algorithm == "scrfd" else _CHUNK
        return quantise(with_plain_prelu(pack.read_model(spec)), pixels.to_input(self.images_of(spec)), batch=batch)


def measure_speed(pack: Pack, learning: Learning, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds an image, on one thread."""
    found: dict[str, dict[str, float]] = {}
    for spec in (pack.manifest.embedder, pack.manifest.detector):
        batch = _FACES if isinstance(spec, EmbedderSpec) else 1 if spec.algorithm == "scrfd" else 2
        images = learning.images_of(spec)[:batch]
        opened: dict[str, PixelNetwork] = {}
        for name, opener in engines(spec, pack.read_model(spec), learning.int8(pack, spec), threads=1):
            with suppress(PackError):  # One that refuses the network has no figure.
                opened[name] = opener()
        taken: dict[str, list[float]] = {name: [] for name in opened}
        for _ in range(rounds):
            for name, network in opened.items():
                network.run(images)  # The turn before has filled the caches with another network.
                began = time.perf_counter()
                for _ in range(3):
                    network.run(images)
                taken[name].append((time.perf_counter() - began) / 3 / batch)
        found[spec.file] = {name: 1e3 * statistics.median(each) for name, each in taken.items()}
    return found


def visions(pack: Pack, learning: Learning) -> Iterator[tuple[str, PackVision]]:
    """As served in float32, and with int8 in the fastest engine that has it."""
    exact = open_vision(pack, Precision.FLOAT32)
    yield "float32", exact
    yield "as served in 16 bits", open_vision(pack, Precision.HALF)
    detector, embedder = pack.manifest.detector, pack.manifest.embedder

    def int8(spec: Spec) -> PixelNetwork:
        named = dict(engines(spec, pack.read_model(spec), learning.int8(pack, spec), threads=2))
        return named["OpenVINO int8 and bfloat16"]()

    small = build_embedder(embedder, int8(embedder), batch_size=_FACES)
    yield "embedder in int8", PackVision(exact.detector, small)
    yield "both in int8", PackVision(build_detector(detector, int8(detector)), small)


def measure_pairs(pack: Pack, data: Path, learning: Learning) -> dict[str, Any]:
    """Accuracy on LFW's pairs, and the cosine of embeddings with those in float32."""
    pairs = read_pairs(data / "lfw_pairs.txt")
    images = images_of_pairs(pairs)
    report: dict[str, Any] = {}
    exact: Mapping[str, Embedding | None] | None = None
    for name, vision in visions(pack, learning):
        with progress_bar(f"images of the pairs, {name}") as show:
            found = embed_images(vision, data / "lfw", images, show)
        exact = exact or found
        cosines = np.array(
            [float(one.vector @ other.vector) for image, one in exact.items() if one and (other := found[image])]
        )
        report[name] = asdict(measure_accuracy(pairs, found)) | {
            "cosine to float32": {"mean": cosines.mean(), "0.1 %": np.quantile(cosines, 0.001), "least": cosines.min()}
        }
    return report


def measure_sets(pack: Pack, data: Path, learning: Learning) -> dict[str, Any]:
    """FNMR with its 95 % interval by FMR: one degraded copy of each image, as in `benchmarks.precision`."""
    people = lfw_people(data, Split.TEST)
    aggregate = aggregate_with_file(pack.model_path(pack.manifest.aggregator))
    report: dict[str, Any] = {}
    for name, vision in visions(pack, learning):
        if name == "as served in 16 bits":
            continue  # `benchmarks.precision` has it.
        with progress_bar(f"test people, {name}") as show:
            cache = extract(vision, people, degraded_versions=1, progress=show)
        scores = compare_draws(cache, list(draw_sets(cache, SetProtocol(draws=10))), aggregate)
        report[name] = [asdict(rate) for rate in error_rates(scores, FMRS, resamples=500)]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory with lfw/, lfw_pairs.txt, lfw_splits.json")
    parser.add_argument("--pack", default="opencv-sface")
    parser.add_argument("--part", choices=("all", "speed", "pairs", "sets"), default="all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pack = named_pack(options.pack)
    learning = Learning(pack, options.data)
    report: dict[str, Any] = {"pack": pack.name}
    if options.part in ("all", "speed"):
        report["ms an image"] = measure_speed(pack, learning, options.rounds)
    if options.part in ("all", "pairs"):
        report["pairs"] = measure_pairs(pack, options.data, learning)
    if options.part in ("all", "sets"):
        report["sets"] = measure_sets(pack, options.data, learning)
    text = json.dumps(report, indent=1, default=float)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
