"""A GPU to test with: ONNX Runtime's sessions on the CPU, that say they are on the device."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.runtime.gpu import obstacle_to_cuda
from service.runtime.gpu_providers import CUDA_PROVIDER, TENSORRT_PROVIDER
from service.runtime.onnx import CPU_PROVIDER

_InferenceSession = onnxruntime.InferenceSession


class StubSession:
    """On `working` providers; the others are passed over without a word, as ONNX Runtime does."""

    working: Sequence[str] = ()
    opened: list[list[Any]] = []  # noqa: RUF012 (each machine has its own)
    """The providers that were asked for, with their options."""

    def __init__(self, model: bytes, *, providers: list[Any], **options: Any) -> None:
        type(self).opened.append(providers)
        self._names = [each if isinstance(each, str) else each[0] for each in providers]
        self._session = _InferenceSession(model, providers=[CPU_PROVIDER], **options)

    def get_providers(self) -> list[str]:
        return [name for name in self._names if name in (*self.working, CPU_PROVIDER)]

    def run_with_iobinding(self, binding: onnxruntime.IOBinding) -> None:
        self._session.run_with_iobinding(binding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def io_binding(self) -> onnxruntime.IOBinding:
        return DeviceBinding(self._session)


class DeviceBinding(onnxruntime.IOBinding):
    """Reads an input when it is bound, as ONNX Runtime does where it goes to a device; on the CPU it would be read
    where it lies when the session runs."""

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: type, shape: tuple[int, ...], buffer_ptr: int
    ) -> None:
        size = math.prod(shape) * np.dtype(element_type).itemsize
        self.on_device = np.frombuffer(ctypes.string_at(buffer_ptr, size), element_type).reshape(shape)
        super().bind_input(name, device_type, device_id, element_type, shape, self.on_device.ctypes.data)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StubSession]]:
    """A machine on which both providers work, until a test says otherwise."""

    class Session(StubSession):
        working = (CUDA_PROVIDER, TENSORRT_PROVIDER)
        opened: list[list[Any]] = []  # noqa: RUF012 (of one test)

    offered = [TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    obstacle_to_cuda.cache_clear()
    yield Session
    obstacle_to_cuda.cache_clear()
