"""Has something become slower? Ratios of one run, and instruction counts, against those that are kept.

`make bench-check IMAGES=DIR`, or `python -m benchmarks.check --images DIR [--update]`: about seven minutes, half of
them under valgrind. Every ratio is made of things that were timed in turns, so that a slow machine is slow for both.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks import aggregation, decoding, instructions, verification
from benchmarks.forward import ENGINES, ForwardPasses, record_inputs, time_ways
from benchmarks.pictures import read_pictures
from benchmarks.sets import SIZE, running_sets
from service.runtime.pack import load_pack
from service.settings import Settings

KEPT = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.15
_PICTURES = 20


def measure(images: Path, rounds: int) -> dict[str, float]:
    """By name; more is better in all of them."""
    settings = Settings()
    pack = load_pack(settings.packs_path / settings.pack)
    pictures = read_pictures(images, 200)
    inputs = record_inputs(pack, pictures[:_PICTURES])
    ways = [ForwardPasses(inputs, engine, batched=True, parallel=False) for engine in ENGINES]
    over_forward, forward_s = [], []
    with running_sets(pack, pictures) as service:
        for _ in range(rounds):
            seconds = min(time_ways(ways, 3).values()) / _PICTURES
            figures = service.closed(size=SIZE, concurrency=8, seconds=4.0)
            over_forward.append(figures["images_per_s"] * seconds)
            forward_s.append(seconds)
    aggregation_ms = aggregation.measure(pack, 20)
    compared = verification.measure(images, rounds=rounds, seconds=1.0)
    decoded = decoding.measure_encoded(pictures[0], rounds=9)
    return {
        "image sets over HTTP / bare forward passes": statistics.median(over_forward),
        "forward passes of 100 images / aggregation of 100": 1e5 * statistics.median(forward_s) / aggregation_ms["100"],
        "ten aggregations of 100 / one of 1000": 10 * aggregation_ms["100"] / aggregation_ms["1000"],
        "verify by id / plain endpoint, requests/s": compared["rate_over_plain_endpoint"]["verify by id"],
        "verify by vector / plain endpoint, requests/s": compared["rate_over_plain_endpoint"]["verify by vector"],
        "cached set of 10 / plain endpoint, requests/s": compared["rate_over_plain_endpoint"]["cached set of 10"],
        "cv2's decoding / the service's": decoded["cv2"] / decoded["service"],
    }


def lost(kept: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """What is worse than kept, beyond the tolerance."""
    return [
        f"{name}: {found.get(name, 0.0):.3g}, kept {kept[name]:.3g}."
        for name in kept
        if not found.get(name, 0.0) >= kept[name] * (1 - TOLERANCE)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="ten pictures of a face or more")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--update", action="store_true", help="keep what is found")
    options = parser.parse_args()
    found = measure(options.images, options.rounds)
    for name, ratio in found.items():
        print(f"{ratio:>12.3f}  {name}", flush=True)
    counted = instructions.count_all()
    if options.update:
        KEPT.write_text(json.dumps({name: round(ratio, 4) for name, ratio in found.items()}, indent=1) + "\n")
        instructions.KEPT.write_text(json.dumps(counted, indent=1) + "\n")
        return
    said = lost(json.loads(KEPT.read_text()), found)
    said += instructions.grown(json.loads(instructions.KEPT.read_text()), counted)
    if said:
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    main()
