"""What decoding costs by the size of the photograph: the service's way, and others.

`python -m benchmarks.decoding PHOTOGRAPH [--output FILE]`
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from service.policies import image_limits
from service.settings import Settings
from service.vision.decoding import decode_image

MEGAPIXELS = (0.3, 1, 3, 6, 12)


def measure(photograph: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds on one core, medians, by million pixels of a JPEG of quality 90."""
    image_bgr = cv2.imread(str(photograph))
    if image_bgr is None:
        raise SystemExit(f"{photograph} cannot be read.")
    found = {}
    for megapixels in MEGAPIXELS:
        scale = (megapixels * 1e6 / (image_bgr.shape[0] * image_bgr.shape[1])) ** 0.5
        resized = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        data = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        found[str(megapixels)] = measure_encoded(data, rounds)
    return found


def measure_encoded(data: bytes, rounds: int) -> dict[str, float]:
    """Of one JPEG, in turns."""
    cv2.setNumThreads(1)
    limits = image_limits(Settings().limits)
    encoded = np.frombuffer(data, np.uint8)
    ways: dict[str, Callable[[], object]] = {
        "service": lambda: decode_image(data, limits),
        "cv2": lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR),
        "cv2, half": lambda: cv2.imdecode(encoded, cv2.IMREAD_REDUCED_COLOR_2),
        "cv2, quarter": lambda: cv2.imdecode(encoded, cv2.IMREAD_REDUCED_COLOR_4),
        "Pillow": lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(measure(options.photograph, options.rounds), indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
