"""Opens a pack's detector or embedder on what runs it best here, and holds it to the pack's golden answers.

`docs/decisions/0016-inference-engines-and-precision.md` has the figures behind the choice. The aggregator is not opened
here: it always runs in float32 on ONNX Runtime, where it was compared with PyTorch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import structlog

from service.errors import DeviceUnavailableError, DriftError
from service.protocols import InferenceSession, PixelNetwork
from service.runtime.external_data import require_self_contained
from service.runtime.golden import (
    FLOAT32_DRIFT,
    HALF_DETECTOR_DRIFT,
    HALF_EMBEDDER_DRIFT,
    GoldenAnswer,
    measure_drift,
    read_golden,
)
from service.runtime.gpu import obstacle_to_cuda, open_on_gpu, padded_batch
from service.runtime.gpu_providers import CUDA_PROVIDER, ImageShapes
from service.runtime.manifest import DetectorSpec, EmbedderSpec, InputRange
from service.runtime.onnx import load_model, usable_cores
from service.runtime.pack import Pack
from service.settings import Device, Precision, Runtime, Settings
from service.vision.alignment import ALIGNED_SIDE
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange

NetworkSpec = DetectorSpec | EmbedderSpec

_SLOW_IN_ONNX_RUNTIME = b"PRelu"
"""Its own runs on one thread and outside the blocked layout; packs that were built here have another (`fast_prelu`)."""

_MOST_PASSES = 4
_CANVASES_ON_GPU = 32
"""In one pass: as many as a detector takes at most (`CanvasDetector.images_per_pass`)."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


NetworkObserver = Callable[[str, str, float | None], None]
"""Called with `detector` or `embedder`, what runs it, and its drift (`measure_drift`), where that is known."""


def unobserved_network(_network: str, _provider: str, _drift: float | None) -> None:
    return


def open_network(
    pack: Pack, spec: NetworkSpec, settings: Settings, on_network: NetworkObserver = unobserved_network
) -> PixelNetwork:
    """The network on the settings' device, runtime and precision. `on_network` hears of it.

    Raises `PackError`, `DeviceUnavailableError` where what the settings ask for is not to be had here, and `DriftError`
    where it answers something else than it should.
    """
    golden = read_golden(pack.directory)
    expected = None if golden is None else golden.answers.get(spec.sha256)
    on_cpu = runs_on_cpu(settings)
    _require_runtime(settings, on_cpu)
    obstacle = _obstacle_to_half(pack, settings, expected, on_cpu)
    if settings.precision is Precision.HALF and obstacle is not None:
        raise DeviceUnavailableError(f"COREFACE_PRECISION=half, but {obstacle}; set it to auto or float32.")
    opened = _open_on_cpu if on_cpu else _open_on_gpu
    if settings.precision is not Precision.FLOAT32 and obstacle is None:
        half_drift = HALF_DETECTOR_DRIFT if isinstance(spec, DetectorSpec) else HALF_EMBEDDER_DRIFT
        try:
            return _held_to(expected, half_drift, opened(pack, spec, settings, half=True), spec, on_network)
        except DriftError as error:
            if settings.precision is Precision.HALF:
                raise
            obstacle = error.detail
    network = _held_to(expected, FLOAT32_DRIFT, opened(pack, spec, settings, half=False), spec, on_network)
    if settings.precision is Precision.AUTO:
        _log.info("network_in_float32", file=spec.file, reason=obstacle)
    return network


def runs_on_cpu(settings: Settings) -> bool:
    """Whether the networks do: `auto` takes a GPU where one really computes."""
    return settings.device is Device.CPU or (settings.device is Device.AUTO and obstacle_to_cuda() is not None)


def parallel_passes(settings: Settings) -> int:
    """Forward passes at once on a CPU: threads that share no pass need not wait for each other, which matters most
    where other processes take their cores away. Each of them has activations of its own in memory, hence few."""
    return min(settings.threads or usable_cores(), _MOST_PASSES) if runs_on_cpu(settings) else 1


def threads_per_pass(settings: Settings) -> int:
    return (settings.threads or usable_cores()) // parallel_passes(settings)


def on_pixels(session: InferenceSession, input_range: InputRange) -> PixelNetwork:
    """A session that takes numbers as one that takes images."""
    pixel_range = PixelRange(color_order=input_range.color_order, mean=input_range.mean, std=input_range.std)
    return SessionOnPixels(session, pixel_range)


def _require_runtime(settings: Settings, on_cpu: bool) -> None:
    """Raises `DeviceUnavailableError` where the settings name a runtime or a device that cannot be had."""
    if not on_cpu and (obstacle := obstacle_to_cuda()) is not None:
        raise DeviceUnavailableError(
            f"The device is set to cuda, but {CUDA_PROVIDER} does not run: {obstacle} Install coreface[gpu] and a CUDA "
            "driver, or set COREFACE_DEVICE=cpu."
        )
    if settings.runtime is Runtime.OPENVINO:
        if not on_cpu:
            raise DeviceUnavailableError("COREFACE_RUNTIME=openvino runs on COREFACE_DEVICE=cpu only.")
        if not _is_installed():
            raise DeviceUnavailableError(
                "COREFACE_RUNTIME=openvino, but openvino is not installed; coreface[cpu] has it."
            )
    if settings.runtime is Runtime.TENSORRT and on_cpu:
        raise DeviceUnavailableError("COREFACE_RUNTIME=tensorrt needs a GPU that computes and COREFACE_DEVICE=cuda.")


def _obstacle_to_half(pack: Pack, settings: Settings, expected: GoldenAnswer | None, on_cpu: bool) -> str | None:
    """Why 16 bits cannot be had, or None."""
    if on_cpu and settings.runtime is Runtime.ONNXRUNTIME:
        return "ONNX Runtime has none on a CPU"
    if on_cpu and not _is_installed():
        return "openvino, which has it, is not installed"
    if expected is None:
        return f"pack {pack.name} has no golden answers to hold it to: install the pack again"
    if not on_cpu:
        return None
    # Only here and below: it may not be installed, and where it is not used its memory is saved.
    from service.runtime.openvino import has_bfloat16

    return None if has_bfloat16() else "this CPU does not compute in bfloat16"


def _is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _open_on_cpu(pack: Pack, spec: NetworkSpec, settings: Settings, *, half: bool) -> PixelNetwork:
    if half or _prefers_openvino(pack, spec, settings):
        return _open_in_openvino(pack, spec, settings, half=half)
    return on_pixels(load_model(pack, spec, threads=threads_per_pass(settings)), spec.input_range)


def _prefers_openvino(pack: Pack, spec: NetworkSpec, settings: Settings) -> bool:
    """In float32."""
    if settings.runtime is Runtime.AUTO:
        return _is_installed() and _SLOW_IN_ONNX_RUNTIME in pack.read_model(spec)
    return settings.runtime is Runtime.OPENVINO


def _open_in_openvino(pack: Pack, spec: NetworkSpec, settings: Settings, *, half: bool) -> PixelNetwork:
    from service.runtime.openvino import OpenVinoNetwork

    model = pack.read_model(spec)
    require_self_contained(model, spec.file)
    return OpenVinoNetwork(
        model,
        spec.file,
        spec.input_range,
        half=half,
        threads=settings.threads or usable_cores(),
        passes=parallel_passes(settings),
    )


def _open_on_gpu(pack: Pack, spec: NetworkSpec, settings: Settings, *, half: bool) -> PixelNetwork:
    from service.runtime.device_graph import in_float16, with_pixel_input

    model = pack.read_model(spec)
    require_self_contained(model, spec.file)
    return open_on_gpu(
        with_pixel_input(in_float16(model) if half else model, spec.input_range),
        spec.file,
        precision="float16" if half else "float32",
        shapes=_shapes_on_gpu(spec, settings),
        tensorrt_cache=settings.tensorrt_path if settings.runtime is Runtime.TENSORRT else None,
    )


def _shapes_on_gpu(spec: NetworkSpec, settings: Settings) -> ImageShapes:
    if isinstance(spec, EmbedderSpec):
        return ImageShapes(padded_batch(settings.batch_size), (ALIGNED_SIDE,))
    sides = {*spec.canvas_sides, *(view.side for view in spec.landmark_views)}
    return ImageShapes(_CANVASES_ON_GPU, sorted(sides))


def _held_to(
    expected: GoldenAnswer | None,
    most_drift: float,
    network: PixelNetwork,
    spec: NetworkSpec,
    on_network: NetworkObserver,
) -> PixelNetwork:
    name = "detector" if isinstance(spec, DetectorSpec) else "embedder"
    if expected is None:
        on_network(name, network.provider, None)
        _log.info("network_opened", network=name, provider=network.provider, drift=None)
        return network
    drift = measure_drift(network, expected)
    if not drift <= most_drift:
        raise DriftError(
            f"{spec.file} on {network.provider} answers the golden images with a deviation of {drift:.2g}, over "
            f"{most_drift:g}: templates made here would differ. Try COREFACE_PRECISION=float32, or another "
            "COREFACE_RUNTIME."
        )
    on_network(name, network.provider, drift)
    _log.info("network_opened", network=name, provider=network.provider, drift=float(f"{drift:.2g}"))
    return network
