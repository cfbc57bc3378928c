"""ONNX Runtime on the CPU behind the `InferenceSession` seam. It and `gpu` alone import onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from service.errors import PackError
from service.runtime.external_data import require_self_contained
from service.runtime.failures import failure_of, first_line
from service.runtime.manifest import ModelFile
from service.runtime.pack import Pack

CPU_PROVIDER = "CPUExecutionProvider"

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NotImplemented,
    native.RuntimeException,
    RuntimeError,
    ValueError,
    MemoryError,
)
_ERRORS_ONLY = 3


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
        except RUNTIME_ERRORS as error:
            raise failure_of(error, self._name, self.provider) from error
        return [np.asarray(output) for output in outputs]


def load_model(pack: Pack, model: ModelFile, *, threads: int) -> OnnxSession:
    """Load a network of a pack, on the CPU. The bytes that are run are those whose digest was checked.

    `threads`: threads of one forward pass, 0 for all cores that this process may use.
    Raises `PackError` for a file that has another digest or is no self-contained ONNX network.
    """
    return _load(pack.read_model(model), model.file, threads)


def load_session(path: Path, *, threads: int) -> OnnxSession:
    """The same for a file that is part of no pack yet."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackError(f"{path.name} cannot be read: {error.strerror}.") from error
    return _load(content, path.name, threads)


def _load(model: bytes, name: str, threads: int) -> OnnxSession:
    require_self_contained(model, name)
    return OnnxSession(open_session(model, name, [CPU_PROVIDER], threads=threads), name)


def open_session(
    model: bytes, name: str, providers: Sequence[Any], *, threads: int = 0
) -> onnxruntime.InferenceSession:
    """On the first of `providers` (names, or names with options) that starts; which one did, the session says. Raises
    `PackError` for what ONNX Runtime refuses, with the file's `name`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Threads that wait busily would take the cores from the decoders and from other processes of the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, sess_options=options, providers=list(providers))
    except RUNTIME_ERRORS as error:
        raise PackError(f"ONNX Runtime refuses {name}: {first_line(error)}") from error


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
