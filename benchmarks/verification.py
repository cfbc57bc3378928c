"""Comparisons and cached sets, where no network runs, against an endpoint that does nothing.

`python -m benchmarks.verification --images DIR [--output FILE]`
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.http_load import closed_load
from benchmarks.pictures import OneRequest, SetRequests, json_request, read_pictures
from benchmarks.plain_endpoint import running_plain_endpoint
from service.cli.bench_service import require_success, running_service
from service.runtime.pack import load_pack
from service.settings import Settings

BUSY = 16
"""Connections of the loads that measure rates."""


def measure(images: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians over the rounds: p50 and p99 with one client, rates with many, in turns with the plain endpoint."""
    settings = Settings()
    pack = load_pack(settings.packs_path / settings.pack)
    pictures = tuple(read_pictures(images, 10))
    found: dict[str, list[dict[str, float]]] = {}
    with running_service(pack) as (_, client), running_plain_endpoint() as plain_port:
        kept = SetRequests(pictures, 10)
        files = [("samples", ("picture", picture)) for picture in pictures]
        answer = client.post("/v1/templates", files=files, data={"include": "vector"})
        require_success(answer)
        template = answer.json()
        by_id = {"template_id": template["template_id"]}
        by_vector = {
            "vector": template["vector"],
            "template_norm": template["template_norm"],
            "fingerprint": template["fingerprint"],
        }
        port = client.base_url.port or 80
        loads = {
            "verify by id": (port, OneRequest(json_request("/v1/verify", {"reference": by_id, "probe": by_id}))),
            "verify by vector": (
                port,
                OneRequest(json_request("/v1/verify", {"reference": by_id, "probe": by_vector})),
            ),
            "cached set of 10": (port, OneRequest(kept.request(0))),
            "plain endpoint": (plain_port, _comparison("/compare", by_id, by_id)),
        }
        for _ in range(rounds):
            for name, (at, source) in loads.items():
                alone = closed_load(at, source, concurrency=1, seconds=seconds)
                busy = closed_load(at, source, concurrency=BUSY, seconds=seconds)
                if alone.failed or busy.failed:
                    raise SystemExit(f"{name}: {alone.failed + busy.failed} requests failed.")
                figures = {"p50_ms": alone.p50_ms, "p99_ms": alone.p99_ms, "per_second": busy.per_second}
                found.setdefault(name, []).append(figures)
    return compare(found)


def _comparison(path: str, reference: object, probe: object) -> OneRequest:
    return OneRequest(json_request(path, {"reference": reference, "probe": probe}))


def compare(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Medians, and rates as shares of the plain endpoint's in the same round."""
    plain = found["plain endpoint"]
    medians = {
        name: {key: statistics.median(figures[key] for figures in each) for key in each[0]}
        for name, each in found.items()
    }
    shares = {
        name: statistics.median(
            figures["per_second"] / base["per_second"] for figures, base in zip(each, plain, strict=True)
        )
        for name, each in found.items()
    }
    return {"medians": medians, "rate_over_plain_endpoint": shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(measure(options.images, rounds=options.rounds, seconds=options.seconds), indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
