"""ONNX Runtime behind the `InferenceSession` seam. The only importer of onnxruntime."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from service.errors import DeviceUnavailableError, InferenceFailedError, OutOfMemoryError, PackError
from service.runtime.external_data import require_self_contained
from service.runtime.failures import first_line, is_out_of_memory
from service.runtime.manifest import ModelFile
from service.runtime.pack import Pack
from service.settings import Device

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"

_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NotImplemented,
    native.RuntimeException,
    ValueError,
    MemoryError,
)
_ERRORS_ONLY = 3

_logger = logging.getLogger(__name__)


class OnnxSession:
    """A loaded network. Thread-safe, as ONNX Runtime's `Run` is."""

    def __init__(self, session: onnxruntime.InferenceSession, name: str) -> None:
        self._session = session
        self._name = name
        self._input_names = tuple(node.name for node in session.get_inputs())

    @property
    def provider(self) -> str:
        """The execution provider that was really given the graph, for example `CPUExecutionProvider`."""
        return str(self._session.get_providers()[0])

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the order of the file."""
        return self._input_names

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs in the order of the file. Raises `InferenceFailedError`, `OutOfMemoryError`."""
        try:
            outputs = self._session.run(None, dict(inputs))
        except _RUNTIME_ERRORS as error:
            reason = f"{self._name} failed on {self.provider}: {first_line(error)}"
            failure = OutOfMemoryError if is_out_of_memory(error) else InferenceFailedError
            raise failure(reason) from error
        return [np.asarray(output) for output in outputs]


def load_model(pack: Pack, model: ModelFile, *, device: Device, threads: int) -> OnnxSession:
    """Load a network of a pack. The bytes that are run are those whose digest was checked.

    `threads`: threads of one forward pass, 0 for all cores that this process may use. With `cuda` the CUDA
    provider must really run; `auto` falls back to the CPU and logs why.
    Raises `PackError` for a file that has another digest or is no self-contained ONNX network,
    `DeviceUnavailableError`.
    """
    return _load(pack.read_model(model), model.file, device, threads)


def load_session(path: Path, *, device: Device, threads: int) -> OnnxSession:
    """The same for a file that is part of no pack yet."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackError(f"{path.name} cannot be read: {error.strerror}.") from error
    return _load(content, path.name, device, threads)


def _load(model: bytes, name: str, device: Device, threads: int) -> OnnxSession:
    require_self_contained(model, name)
    if device is Device.CUDA or (device is Device.AUTO and cuda_is_offered()):
        session, reason = _open_on_cuda(model, name, threads)
        if session is not None:
            return OnnxSession(session, name)
        if device is Device.CUDA:
            raise DeviceUnavailableError(
                f"The device is set to cuda, but {CUDA_PROVIDER} does not run: {reason} "
                "Install coreface[gpu] and a CUDA driver, or set COREFACE_DEVICE=cpu."
            )
        _logger.warning("device auto: %s runs on the CPU, because CUDA does not run: %s", name, reason)
    return OnnxSession(_open(model, name, threads, [CPU_PROVIDER]), name)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_gpu(provider: str) -> bool:
    return provider == CUDA_PROVIDER


def cuda_is_offered() -> bool:
    """Whether this build of ONNX Runtime could try CUDA."""
    return CUDA_PROVIDER in available_providers()


def available_providers() -> tuple[str, ...]:
    """The execution providers this build of ONNX Runtime could try, best first. A provider in this list may
    still fail to start; `OnnxSession.provider` says what really runs."""
    return tuple(onnxruntime.get_available_providers())


def _open_on_cuda(model: bytes, name: str, threads: int) -> tuple[onnxruntime.InferenceSession | None, str]:
    """The session, or None and the reason. ONNX Runtime itself falls back to the CPU without an error."""
    if not cuda_is_offered():
        return None, "this build of ONNX Runtime has no CUDA."
    onnxruntime.preload_dlls()
    # TF32 would round the inputs of every convolution to 10 bits, and templates must agree across devices.
    options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    try:
        session = _open(model, name, threads, [(CUDA_PROVIDER, options), CPU_PROVIDER])
    except PackError as error:
        return None, error.detail
    if CUDA_PROVIDER not in session.get_providers():
        return None, "the CUDA libraries or the driver could not be loaded."
    return session, ""


def _open(model: bytes, name: str, threads: int, providers: list[Any]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Threads that wait busily would take the cores from the decoders and from other processes of the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, sess_options=options, providers=providers)
    except _RUNTIME_ERRORS as error:
        raise PackError(f"ONNX Runtime refuses {name}: {first_line(error)}") from error
