"""What ONNX Runtime's providers for NVIDIA GPUs are told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import DeviceUnavailableError

CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"

CUDA_OPTIONS = {
    # TF32 would round the inputs of every convolution to 10 bits, and templates must agree across devices.
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    # Else the memory that it holds doubles whenever it grows, on a card that several workers may share.
    "arena_extend_strategy": "kSameAsRequested",
}


@dataclass(frozen=True, slots=True)
class ImageShapes:
    """What a network is given at most: TensorRT builds for these, and refuses others."""

    images: int
    """In one batch, filled up."""
    sides: Sequence[int]
    """Of its square images, pixels."""


def tensorrt_options(model: bytes, shapes: ImageShapes, cache: Path) -> dict[str, str]:
    """For a network whose one input is (B, H, W, 3). Engines and timings are kept in a folder of `cache`.

    Raises `DeviceUnavailableError` where it cannot be made.
    """
    folder = _own_folder(model, cache)
    common = sorted(shapes.sides)[(len(shapes.sides) - 1) // 2]
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_profile_min_shapes": _profile(model, 1, min(shapes.sides)),
        "trt_profile_opt_shapes": _profile(model, -(-shapes.images // 2), common),
        "trt_profile_max_shapes": _profile(model, shapes.images, max(shapes.sides)),
    }


def _own_folder(model: bytes, cache: Path) -> Path:
    """ONNX Runtime names an engine after the card's architecture, its own version, those of CUDA and TensorRT, and the
    names in the graph, but not after the weights: two networks of one architecture would share it."""
    folder = cache / hashlib.sha256(model).hexdigest()
    try:
        for made in (cache, folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceUnavailableError(
            f"TensorRT cannot keep its engines in {str(cache)!r}: {error.strerror}. Set COREFACE_STATE_DIR to a folder "
            "that can be written, or COREFACE_RUNTIME=auto."
        ) from error
    return folder


def _profile(model: bytes, images: int, side: int) -> str:
    """Sizes that are fixed in the graph stay as they are."""
    # Only here: on a CPU nobody needs it.
    import onnx

    graph = onnx.load_model_from_string(model).graph
    weights = {tensor.name for tensor in graph.initializer}
    [source] = [value for value in graph.input if value.name not in weights]
    fixed = [dim.dim_value for dim in source.type.tensor_type.shape.dim]
    sizes = [known or asked for known, asked in zip(fixed, (images, side, side, 3), strict=True)]
    return f"{source.name}:{'x'.join(map(str, sizes))}"
