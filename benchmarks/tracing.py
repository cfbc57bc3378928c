"""What traces cost: the same service without an endpoint for them, and with a collector that takes every one.

`python -m benchmarks.tracing --images DIR [--rounds 5] [--seconds 2]`; needs the extra `otel`. Both run side by side
and are loaded in turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.http_load import closed_load
from benchmarks.pictures import OneRequest, SetRequests, json_request, read_pictures
from service.cli.bench_service import require_success, running_service
from service.runtime.pack import load_pack
from service.settings import Settings
from tests.observability.collector import running_collector

BUSY = 8
_SIZE = 10


class Loaded:
    """One of the two services."""

    def __init__(self, client: httpx.Client, pictures: Sequence[bytes]) -> None:
        self._port = client.base_url.port or 80
        self._pictures = tuple(pictures)
        self._sets = 0
        answer = client.post("/v1/templates", files=[("samples", ("picture", picture)) for picture in pictures])
        require_success(answer)
        side = {"template_id": answer.json()["template_id"]}
        self._comparison = OneRequest(json_request("/v1/verify", {"reference": side, "probe": side}))

    def comparisons_per_s(self, seconds: float) -> float:
        return closed_load(self._port, self._comparison, concurrency=BUSY, seconds=seconds).per_second

    def sets_per_s(self, seconds: float) -> float:
        self._sets += 1
        source = SetRequests(self._pictures, _SIZE, mark=self._sets.to_bytes(8, "big"))
        return closed_load(self._port, source, concurrency=BUSY, seconds=seconds).per_second


def measure(images: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Rates without traces, and the median, over the rounds, of those with as a share of them."""
    settings = Settings()
    pack = load_pack(settings.packs_path / settings.pack)
    pictures = read_pictures(images, _SIZE)
    with ExitStack() as stack:
        collector = stack.enter_context(running_collector())
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        without, traced = (
            Loaded(stack.enter_context(running_service(pack, environment))[1], pictures)
            for environment in ({}, endpoint)
        )
        kinds = {"comparisons": Loaded.comparisons_per_s, "sets of 10": Loaded.sets_per_s}
        rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for number in range(rounds):
            for kind, rate in kinds.items():
                pair = [without, traced] if number % 2 == 0 else [traced, without]
                found = {id(loaded): rate(loaded, seconds) for loaded in pair}
                rates[kind].append((found[id(without)], found[id(traced)]))
        spans = len(collector.spans)
    return {
        kind: {
            "without_per_s": statistics.median(off for off, _ in pairs),
            "traced_over_without": statistics.median(on / off for off, on in pairs),
            "each_round": [round(on / off, 3) for off, on in pairs],
        }
        for kind, pairs in rates.items()
    } | {"spans_received": spans}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    options = parser.parse_args()
    print(json.dumps(measure(options.images, rounds=options.rounds, seconds=options.seconds), indent=1))


if __name__ == "__main__":
    main()
