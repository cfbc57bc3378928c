"""Does an installed pack do what its manifest says? Digests first, then every network once, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.assembly import build_detector, build_embedder
from service.errors import InferenceFailedError, PackError
from service.protocols import PixelNetwork
from service.runtime.golden import read_golden, record_golden, write_golden
from service.runtime.manifest import DetectorSpec, EmbedderSpec
from service.runtime.networks import on_pixels
from service.runtime.onnx import load_model
from service.runtime.pack import Pack, load_pack
from service.types import Embedding
from service.vision.aggregation import OnnxSetAggregator
from service.vision.alignment import ALIGNED_SIDE

_SET_SIZES = (1, 2, 5)


def verify_pack(directory: Path, calibration: Path | None = None) -> Pack:
    """The pack in `directory`, every file's digest checked and every network run once against its contract.

    Raises `PackNotInstalledError`, `PackError`.
    """
    pack = load_pack(directory, calibration)
    try:
        _run_detector(pack)
        _run_embedder(pack)
        _run_aggregator(pack)
    except InferenceFailedError as error:
        raise PackError(f"Pack {pack.name!r} does not meet its manifest: {error.detail}") from error
    return pack


def complete_pack(directory: Path) -> None:
    """Verify the pack that was built in `directory`, and keep what its networks answer here to the golden images unless
    it came with that.

    Raises `PackError`.
    """
    manifest = verify_pack(directory).manifest
    golden = read_golden(directory)
    if golden is None or not {manifest.detector.sha256, manifest.embedder.sha256} <= golden.answers.keys():
        pack = load_pack(directory)
        detector, embedder = (_open_network(pack, spec) for spec in (manifest.detector, manifest.embedder))
        write_golden(record_golden(manifest, detector, embedder), directory)


def _run_detector(pack: Pack) -> None:
    spec = pack.manifest.detector
    detector = build_detector(spec, _open_network(pack, spec))
    detector.detect([np.zeros((side, side, 3), np.uint8) for side in spec.canvas_sides])


def _run_embedder(pack: Pack) -> None:
    spec = pack.manifest.embedder
    embedder = build_embedder(spec, _open_network(pack, spec), batch_size=2)
    faces = np.full((2, ALIGNED_SIDE, ALIGNED_SIDE, 3), 128, np.uint8)
    if None in embedder.embed(faces):
        raise InferenceFailedError("The embedder answers nothing usable on a grey face.")


def _open_network(pack: Pack, spec: DetectorSpec | EmbedderSpec) -> PixelNetwork:
    return on_pixels(load_model(pack, spec, threads=0), spec.input_range)


def _run_aggregator(pack: Pack) -> None:
    spec = pack.manifest.aggregator
    aggregator = OnnxSetAggregator(load_model(pack, spec, threads=0))
    width = pack.manifest.embedder.width
    # One axis per sample: unit vectors, and no two alike.
    embeddings = [Embedding(np.eye(1, width, axis, np.float32)[0], 10.0 + axis) for axis in range(max(_SET_SIZES))]
    for aggregation in aggregator.aggregate([embeddings[:size] for size in _SET_SIZES]):
        if len(aggregation.core_indices) > spec.core_size:
            raise InferenceFailedError(f"The aggregator picks more than {spec.core_size} core samples.")
