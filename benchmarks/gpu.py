"""The networks of a pack on a GPU: milliseconds an image by provider, precision and batch, as a worker runs them.

`python -m benchmarks.gpu [--pack NAME] [--tensorrt] [--output FILE]`. Where no GPU computes it says so and ends with 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.protocols import PixelNetwork
from service.runtime.gpu import obstacle_to_cuda
from service.runtime.networks import open_network
from service.runtime.pack import Pack, load_pack
from service.settings import Device, Precision, Runtime, Settings

BATCHES = (1, 4, 8, 16, 32)
_ALIGNED_SIDE = 112


def time_batch(network: PixelNetwork, images_bgr: NDArray[np.uint8], passes: int) -> float:
    """Median milliseconds an image; the first passes, which allocate and choose kernels, are not counted."""
    taken: list[float] = []
    for number in range(3 + passes):
        began = time.perf_counter()
        network.run(images_bgr)
        if number >= 3:
            taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken) / len(images_bgr)


def measure(pack: Pack, settings: Settings, passes: int) -> dict[str, dict[str, float]]:
    """By network and side of its images, then by batch."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, float]] = {}
    manifest = pack.manifest
    for spec, sides in ((manifest.detector, manifest.detector.canvas_sides), (manifest.embedder, (_ALIGNED_SIDE,))):
        network = open_network(pack, spec, settings)
        # SCRFD's outputs have no batch.
        batches = BATCHES[:1] if spec is manifest.detector and manifest.detector.algorithm == "scrfd" else BATCHES
        for side in sides:
            images = rng.integers(0, 256, (batches[-1], side, side, 3), dtype=np.uint8)
            found[f"{spec.file} {side} on {network.provider}"] = {
                str(batch): time_batch(network, images[:batch], passes) for batch in batches
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", default="opencv-sface")
    parser.add_argument("--tensorrt", action="store_true", help="TensorRT as well: building its engines takes minutes")
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if (obstacle := obstacle_to_cuda()) is not None:
        print(f"No GPU computes here: {obstacle}", file=sys.stderr)
        raise SystemExit(1)
    pack = load_pack(Settings().packs_path / options.pack)
    report: dict[str, dict[str, float]] = {}
    for runtime in (Runtime.ONNXRUNTIME, *([Runtime.TENSORRT] if options.tensorrt else [])):
        for precision in (Precision.FLOAT32, Precision.HALF):
            settings = Settings(device=Device.CUDA, runtime=runtime, precision=precision)
            report |= measure(pack, settings, options.passes)
    text = json.dumps(report, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
