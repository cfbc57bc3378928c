"""Networks on an NVIDIA GPU: ONNX Runtime's CUDA and TensorRT providers behind the `PixelNetwork` seam.

`docs/decisions/0017-gpu.md` has the reasons, and says what was never run on a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from service.errors import DeviceUnavailableError, PackError
from service.runtime.device_graph import PIXELS
from service.runtime.failures import failure_of
from service.runtime.onnx import CPU_PROVIDER, RUNTIME_ERRORS, open_session

CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"

_CUDA_OPTIONS = {
    # TF32 would round the inputs of every convolution to 10 bits, and templates must agree across devices.
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
}
_TENSORRT_SIDES = (32, 640)
"""Of a detector's canvas, which has other sides for every kind of view."""
_TENSORRT_IMAGES = 32


class GpuNetwork:
    """A network that takes pixels (`with_pixel_input`) in a session on the device. Thread-safe: one pass at a time,
    beside which other threads read what the last one answered and lay out the next.

    Batches are filled up to the next power of two, so that cuDNN and TensorRT see few shapes. Of each shape the buffers
    are made once, in memory that the device reads itself (pinned) where ONNX Runtime hands it out.
    """

    def __init__(self, session: onnxruntime.InferenceSession, name: str, precision: str) -> None:
        """`name`: of the file, for errors. `precision`: what it computes in, for people."""
        self._session = session
        self._name = name
        self._precision = precision
        self._outputs = [node.name for node in session.get_outputs()]
        self._memory = pinned_memory()
        self._buffers: dict[tuple[int, ...], _Buffers] = {}
        self._one_pass = threading.Lock()

    @property
    def provider(self) -> str:
        return f"{self._session.get_providers()[0]} {self._precision}"

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        """Of (B, H, W, 3). Raises `InferenceFailedError`, `OutOfMemoryError`."""
        count = len(images_bgr)
        shape = (padded_batch(count), *images_bgr.shape[1:])
        try:
            with self._one_pass:
                buffers = self._buffers.get(shape)
                if buffers is None:
                    buffers = self._buffers[shape] = _Buffers(self._session, self._outputs, shape, self._memory)
                return buffers.run(images_bgr)
        except RUNTIME_ERRORS as error:
            raise failure_of(error, self._name, self.provider) from error


class _Buffers:
    """Input and outputs of one shape, bound to the session."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        outputs: Sequence[str],
        shape: tuple[int, ...],
        memory: onnxruntime.OrtMemoryInfo | None,
    ) -> None:
        self._session = session
        self._batch = shape[0]
        self._memory = memory
        pixels = _allocate(shape, np.uint8, memory)
        self._pixels = pixels.numpy()  # A view.
        self._pixels[:] = 0
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(PIXELS, pixels)
        self._names = outputs
        for name in outputs:
            self._binding.bind_output(name, "cpu")  # Its shape is known after the first pass only.
        self._bound: list[NDArray[np.generic]] | None = None

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        count = len(images_bgr)
        # What fills the batch up are images of earlier passes: no answer depends on its neighbours.
        self._pixels[:count] = images_bgr
        self._session.run_with_iobinding(self._binding)
        answers = self._bound or self._bind_outputs()
        # Copied: the next pass writes over them. Of a full batch all is answered, whatever the outputs' first axis is.
        return [(answer if count == self._batch else answer[:count]).copy() for answer in answers]

    def _bind_outputs(self) -> list[NDArray[np.generic]]:
        answers = [np.asarray(answer) for answer in self._binding.copy_outputs_to_cpu()]
        values = [_allocate(answer.shape, answer.dtype.type, self._memory) for answer in answers]
        for name, value in zip(self._names, values, strict=True):
            self._binding.bind_ortvalue_output(name, value)
        self._bound = [value.numpy() for value in values]
        return answers


def padded_batch(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()


def is_gpu(provider: str) -> bool:
    """Whether a network with this `provider` runs on a GPU."""
    return provider.startswith((CUDA_PROVIDER, TENSORRT_PROVIDER))


def cuda_is_offered() -> bool:
    """Whether this build of ONNX Runtime could try CUDA."""
    return CUDA_PROVIDER in onnxruntime.get_available_providers()


@lru_cache(maxsize=1)
def obstacle_to_cuda() -> str | None:
    """Why nothing can be computed on a GPU here, or None. Found out once, with a network of one node: ONNX Runtime
    itself falls back to the CPU without an error."""
    if not cuda_is_offered():
        return "this build of ONNX Runtime has no CUDA."
    onnxruntime.preload_dlls()
    try:
        session = open_session(_one_node(), "a network of one node", [(CUDA_PROVIDER, _CUDA_OPTIONS), CPU_PROVIDER])
        if CUDA_PROVIDER not in session.get_providers():
            return "the CUDA libraries or the driver could not be loaded."
        session.run(None, {"values": np.zeros(1, np.float32)})
    except PackError as error:
        return error.detail
    except RUNTIME_ERRORS as error:
        return failure_of(error, "a network of one node", CUDA_PROVIDER).detail
    return None


def open_on_gpu(
    model: bytes, name: str, *, precision: str, tensorrt_cache: Path | None, canvas: bool = False
) -> GpuNetwork:
    """A network that takes pixels. `tensorrt_cache`: where TensorRT keeps the engines that it builds for this device;
    None for CUDA. `canvas`: the images have sides of their own, not those of an aligned face.

    Raises `PackError`, and `DeviceUnavailableError` where the provider does not really run it.
    """
    providers: list[Any] = [(CUDA_PROVIDER, _CUDA_OPTIONS), CPU_PROVIDER]
    if tensorrt_cache is not None:
        tensorrt_cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        providers.insert(0, (TENSORRT_PROVIDER, _tensorrt_options(tensorrt_cache, canvas)))
    session = open_session(model, name, providers)
    wanted = CUDA_PROVIDER if tensorrt_cache is None else TENSORRT_PROVIDER
    if session.get_providers()[0] != wanted:
        raise DeviceUnavailableError(
            f"{name} runs on {session.get_providers()[0]}, not on {wanted}: its libraries could not be loaded. Install "
            "them, or set COREFACE_RUNTIME=auto."
        )
    return GpuNetwork(session, name, precision)


def pinned_memory() -> onnxruntime.OrtMemoryInfo | None:
    """Of the host, which the GPU reads without a copy of the driver's; None where ONNX Runtime has none to give (before
    1.32 it hands none to Python)."""
    if "memory_info" not in signature(onnxruntime.OrtValue.ortvalue_from_shape_and_type).parameters:
        return None
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == CUDA_PROVIDER:
            return device.memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE)
    return None


def _allocate(shape: Sequence[int], dtype: type, memory: onnxruntime.OrtMemoryInfo | None) -> onnxruntime.OrtValue:
    options = {} if memory is None else {"memory_info": memory}
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, **options)


def _tensorrt_options(cache: Path, canvas: bool) -> dict[str, str]:
    low, high = _TENSORRT_SIDES if canvas else (112, 112)
    common = 320 if canvas else 112

    def profile(images: int, side: int) -> str:
        return f"{PIXELS}:{images}x{side}x{side}x3"

    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": profile(1, low),
        "trt_profile_opt_shapes": profile(_TENSORRT_IMAGES // 2, common),
        "trt_profile_max_shapes": profile(_TENSORRT_IMAGES, high),
    }


def _one_node() -> bytes:
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("values", "answer")]
    graph = helper.make_graph([helper.make_node("Neg", ["values"], ["answer"])], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
