"""Image set -> template over HTTP, against the bare forward passes, the `insightface` loop and a plain endpoint.

`python -m benchmarks.sets --images DIR [--models DIR] [--output FILE] [--plot FILE]`; `--models` holds
`scrfd_500m.onnx` and `w600k_mbf.onnx` for the comparison with `insightface`. All is compared in turns, in one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.forward import every_way, record_inputs, time_ways
from benchmarks.http_load import LoadResult, RequestSource, closed_load, open_load
from benchmarks.pictures import SetRequests, read_pictures
from benchmarks.plain_endpoint import running_plain_endpoint
from service.cli.bench_service import running_service
from service.cli.process_figures import cpu_seconds, find_children
from service.packs.installation import install_pack
from service.runtime.pack import Pack, load_pack
from service.settings import Settings

CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
SIZES = (1, 2, 5, 10, 20, 50, 100)
SIZE = 10
_LIMITS = {"COREFACE_LIMITS__MAX_SAMPLES": "100", "COREFACE_LIMITS__REQUEST_TIMEOUT_S": "120"}
_WEIGHTS = ("scrfd_500m.onnx", "w600k_mbf.onnx")


class RunningSets:
    """A service of the benchmark's own, and sets that nobody sent before."""

    def __init__(self, port: int, supervisor_pid: int, pictures: Sequence[bytes]) -> None:
        self.port = port
        self._pids = find_children(supervisor_pid)
        self._pictures = tuple(pictures)
        self._renewed = 0

    def source(self, size: int) -> RequestSource:
        self._renewed += 1
        return SetRequests(self._pictures, size, mark=self._renewed.to_bytes(8, "big"))

    def closed(self, *, size: int, concurrency: int, seconds: float) -> dict[str, float]:
        cpu_began = self._cpu_s()
        result = closed_load(self.port, self.source(size), concurrency=concurrency, seconds=seconds)
        return describe_load(result, size, self._cpu_s() - cpu_began)

    def open(self, *, size: int, images_per_s: float, seconds: float) -> dict[str, float]:
        cpu_began = self._cpu_s()
        result = open_load(self.port, self.source(size), per_second=images_per_s / size, seconds=seconds)
        return describe_load(result, size, self._cpu_s() - cpu_began)

    def _cpu_s(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._pids.values())


def describe_load(result: LoadResult, size: int, service_cpu_s: float) -> dict[str, float]:
    """Rates by image, times of a set in ms, processor time in ms an image."""
    if result.failed:
        raise SystemExit(f"{result.failed} of {len(result.seconds)} sets failed.")
    images = len(result.seconds) * size
    return {
        "images_per_s": images / result.elapsed_s,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "service_cpu_ms": 1e3 * service_cpu_s / images,
        "client_cpu_ms": 1e3 * result.client_cpu_s / images,
    }


@contextmanager
def running_sets(pack: Pack, pictures: Sequence[bytes]) -> Iterator[RunningSets]:
    with running_service(pack, _LIMITS) as (process, client):
        sets = RunningSets(client.base_url.port or 80, process.pid, pictures)
        sets.closed(size=SIZE, concurrency=4, seconds=3.0)  # the first sets pay for what starts late
        yield sets


def insightface_loop(models: Path) -> Callable[[Sequence[Path]], float]:
    """Seconds that `insightface` takes to read, detect and embed some pictures, one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own dependencies warn
        import cv2
        from insightface.app import FaceAnalysis

    app = FaceAnalysis(
        name=str(models), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    app.prepare(ctx_id=-1, det_size=(640, 640))

    def loop(paths: Sequence[Path]) -> float:
        began = time.perf_counter()
        for path in paths:
            app.get(cv2.imread(str(path)))
        return time.perf_counter() - began

    return loop


def measure_ratios(
    pack: Pack, pictures: Sequence[bytes], models: Path | None, *, rounds: int, seconds: float
) -> dict[str, Any]:
    """In turns: sets of ten over HTTP with eight clients, forward passes, `insightface`, and a plain endpoint."""
    some = pictures[:40]
    ways = list(every_way(record_inputs(pack, some)))
    rates: dict[str, list[float]] = {}
    forward: dict[str, list[float]] = {way.name: [] for way in ways}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = {pack.name: stack.enter_context(running_sets(pack, pictures))}
        paths = [directory / f"{number}.jpg" for number in range(len(some))]
        for path, data in zip(paths, some, strict=True):
            path.write_bytes(data)
        loop = None
        if models is not None:
            zoo = _zoo_pack(models, directory)
            services[zoo.name] = stack.enter_context(running_sets(zoo, pictures))
            loop = insightface_loop(directory / "zoo")
            loop(paths[:5])
        plain_port = stack.enter_context(running_plain_endpoint())
        for _ in range(rounds):
            for name, service in services.items():
                figures = service.closed(size=SIZE, concurrency=8, seconds=seconds)
                rates.setdefault(f"http {name}", []).append(figures["images_per_s"])
            for name, taken_s in time_ways(ways, 2).items():
                forward[name].append(taken_s / len(some))
            if loop is not None:
                rates.setdefault("insightface", []).append(len(some) / loop(paths))
            upload = SetRequests(tuple(pictures), SIZE, path="/upload")
            plain = closed_load(plain_port, upload, concurrency=8, seconds=2.0)
            rates.setdefault("plain endpoint", []).append(plain.per_second * SIZE)
    return compare(pack.name, {name: statistics.median(each) for name, each in rates.items()}, best_of(forward))


def best_of(forward: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Milliseconds an image of every way, medians."""
    return {name: 1e3 * statistics.median(each) for name, each in forward.items()}


def compare(pack_name: str, rates: Mapping[str, float], forward_ms: Mapping[str, float]) -> dict[str, Any]:
    """With the fastest engine of each way of making batches."""

    def fastest(way: str) -> float:
        return min(taken for name, taken in forward_ms.items() if name.split(", ", 1)[1] == way)

    http = rates[f"http {pack_name}"]
    ratios = {
        "http / forward, one at a time": http * fastest("one at a time") / 1e3,
        "http / forward, batched": http * fastest("batched") / 1e3,
        "http / forward, batched, in parallel": http * fastest("batched, in parallel") / 1e3,
    }
    if "insightface" in rates:
        ratios["http / insightface"] = http / rates["insightface"]
        ratios["http / insightface, same weights"] = rates["http buffalo_s"] / rates["insightface"]
    return {"images_per_s": dict(rates), "forward_ms": dict(forward_ms), "ratios": ratios}


def _zoo_pack(models: Path, directory: Path) -> Pack:
    (directory / "zoo").mkdir()
    for name in _WEIGHTS:
        shutil.copy(models / name, directory / "zoo" / name)
    return install_pack("buffalo_s", directory / "packs", from_directory=directory / "zoo", accept_license=True)


def measure_curves(pack: Pack, pictures: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """By concurrency, by set size, and the tail at 80 % of the highest rate."""
    with running_sets(pack, pictures) as service:
        by_concurrency = {each: service.closed(size=SIZE, concurrency=each, seconds=seconds) for each in CONCURRENCIES}
        by_size = {each: service.closed(size=each, concurrency=8, seconds=seconds) for each in SIZES}
        peak = max(figures["images_per_s"] for figures in by_concurrency.values())
        tail = service.open(size=SIZE, images_per_s=0.8 * peak, seconds=4 * seconds)
    tail["p99 / p50"] = tail["p99_ms"] / tail["p50_ms"]
    return {"by_concurrency": by_concurrency, "by_size": by_size, "at_80_percent": tail}


def draw(curves: Mapping[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (name, label) in zip(
        axes, (("by_concurrency", "sets of 10 at once"), ("by_size", "pictures in a set, 8 at once")), strict=True
    ):
        steps = list(curves[name])
        axis.plot(steps, [curves[name][step]["images_per_s"] for step in steps], marker="o", color="tab:blue")
        axis.set(xscale="log", xlabel=label, ylabel="images/s", ylim=(0, None))
        axis.set_xticks(steps, [str(step) for step in steps])
        axis.minorticks_off()
        times = axis.twinx()
        for key, style in (("p50_ms", "-"), ("p99_ms", ":")):
            times.plot(steps, [curves[name][step][key] for step in steps], style, color="tab:orange", label=key[:3])
        times.set(yscale="log", ylabel="ms a set")
        times.legend(loc="upper left", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--part", choices=("all", "ratios", "curves"), default="all")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    settings = Settings()
    pack = load_pack(settings.packs_path / settings.pack)
    pictures = read_pictures(options.images, 300)
    report: dict[str, Any] = {}
    if options.part != "curves":
        report |= measure_ratios(pack, pictures, options.models, rounds=options.rounds, seconds=options.seconds)
    if options.part != "ratios":
        report |= measure_curves(pack, pictures, options.seconds)
        if options.plot is not None:
            draw(report, options.plot)
    text = json.dumps(report, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
