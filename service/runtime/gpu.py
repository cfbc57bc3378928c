"""Networks on an NVIDIA GPU: ONNX Runtime's CUDA and TensorRT providers behind the `PixelNetwork` seam.

`docs/decisions/0017-gpu.md` has the reasons, and says what was never run on a GPU.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.errors import DeviceUnavailableError, PackError
from service.runtime.failures import failure_of
from service.runtime.gpu_providers import (
    CUDA_OPTIONS,
    CUDA_PROVIDER,
    TENSORRT_PROVIDER,
    ImageShapes,
    tensorrt_options,
)
from service.runtime.onnx import CPU_PROVIDER, RUNTIME_ERRORS, open_session
from service.runtime.pinned_memory import pinned_array


class GpuNetwork:
    """A network that takes pixels (`with_pixel_input`) in a session on the device. Thread-safe: one pass at a time,
    beside which other threads lay out the next and read what the last one answered, each in buffers of its own.

    Batches are filled up to the next power of two, so that cuDNN and TensorRT see few shapes. Buffers of a shape are
    used again, in memory that the device reads itself.
    """

    def __init__(self, session: onnxruntime.InferenceSession, name: str, precision: str) -> None:
        """`name`: of the file, for errors. `precision`: what it computes in, for people."""
        self._session = session
        self._name = name
        self._precision = precision
        self._idle: defaultdict[tuple[int, ...], list[_Buffers]] = defaultdict(list)
        self._one_pass = threading.Lock()

    @property
    def provider(self) -> str:
        return f"{self._session.get_providers()[0]} {self._precision}"

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        """Of (B, H, W, 3). Raises `InferenceFailedError`, `OutOfMemoryError`."""
        shape = (padded_batch(len(images_bgr)), *images_bgr.shape[1:])
        idle = self._idle[shape]
        try:
            try:
                buffers = idle.pop()
            except IndexError:
                buffers = _Buffers(self._session, shape)
            buffers.lay_out(images_bgr)
            with self._one_pass:
                buffers.compute()
            answers = buffers.read(len(images_bgr))
        except RUNTIME_ERRORS as error:
            # Its buffers are let go: there may be no memory for them.
            raise failure_of(error, self._name, self.provider) from error
        idle.append(buffers)
        return answers


class _Buffers:
    """Input and outputs of one shape, bound to the session. Of one thread at a time."""

    def __init__(self, session: onnxruntime.InferenceSession, shape: tuple[int, ...]) -> None:
        self._session = session
        self._outputs = [node.name for node in session.get_outputs()]
        self._pixels = pinned_array(shape, np.uint8)
        self._input = session.get_inputs()[0].name
        self._binding = session.io_binding()
        for name in self._outputs:
            self._binding.bind_output(name, "cpu")  # Its shape is known after the first pass only.
        self._answers: list[NDArray[np.generic]] = []

    def lay_out(self, images_bgr: NDArray[np.uint8]) -> None:
        # What fills the batch up are images of earlier passes: no answer depends on its neighbours.
        self._pixels[: len(images_bgr)] = images_bgr

    def compute(self) -> None:
        # Bound for each pass: this is when ONNX Runtime copies an input to the device. What is written to the buffer
        # later, it does not see.
        pixels = self._pixels
        self._binding.bind_input(self._input, "cpu", 0, np.uint8, pixels.shape, pixels.ctypes.data)
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        if not self._answers:
            self._bind_outputs()

    def read(self, count: int) -> list[NDArray[np.generic]]:
        """The answers to the first `count` images; copied, since the next pass writes over them."""
        # Of a full batch all is answered, whatever the outputs' first axis is.
        full = count == len(self._pixels)
        return [(answer if full else answer[:count]).copy() for answer in self._answers]

    def _bind_outputs(self) -> None:
        """To memory that the passes after this first one write to."""
        for name, found in zip(self._outputs, self._binding.copy_outputs_to_cpu(), strict=True):
            answer = pinned_array(found.shape, found.dtype)
            answer[...] = found
            self._binding.bind_output(name, "cpu", 0, answer.dtype.type, answer.shape, answer.ctypes.data)
            self._answers.append(answer)


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
    # Only here: on a CPU nobody needs it, nor the time and memory that it takes.
    from service.runtime.device_graph import one_node_network

    try:
        session = open_session(
            one_node_network(), "a network of one node", [(CUDA_PROVIDER, CUDA_OPTIONS), CPU_PROVIDER]
        )
        if CUDA_PROVIDER not in session.get_providers():
            return "the CUDA libraries or the driver could not be loaded."
        session.run(None, {"values": np.zeros(1, np.float32)})
    except PackError as error:
        return error.detail
    except RUNTIME_ERRORS as error:
        return failure_of(error, "a network of one node", CUDA_PROVIDER).detail
    return None


def open_on_gpu(
    model: bytes, name: str, *, precision: str, shapes: ImageShapes, tensorrt_cache: Path | None
) -> GpuNetwork:
    """A network that takes pixels. `tensorrt_cache`: where TensorRT keeps the engines that it builds for this device,
    for batches of these `shapes`; None for CUDA.

    Raises `PackError`, and `DeviceUnavailableError` where the provider does not really run it.
    """
    providers: list[Any] = [(CUDA_PROVIDER, CUDA_OPTIONS), CPU_PROVIDER]
    if tensorrt_cache is not None:
        providers.insert(0, (TENSORRT_PROVIDER, tensorrt_options(model, shapes, tensorrt_cache)))
    session = open_session(model, name, providers)
    wanted = CUDA_PROVIDER if tensorrt_cache is None else TENSORRT_PROVIDER
    if session.get_providers()[0] != wanted:
        raise DeviceUnavailableError(
            f"{name} runs on {session.get_providers()[0]}, not on {wanted}: its libraries could not be loaded. Install "
            "them, or set COREFACE_RUNTIME=auto."
        )
    return GpuNetwork(session, name, precision)
