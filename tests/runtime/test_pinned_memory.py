"""Memory that a GPU reads itself, with a stand-in for the CUDA runtime."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

from service.runtime import pinned_memory
from service.runtime.pinned_memory import pinned_array


class StubCudaRuntime:
    """Hands out memory of its own, filled with rubbish."""

    def __init__(self) -> None:
        self.given: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.full = False
        self.errors_taken = 0

    def cudaHostAlloc(self, place: Any, size: ctypes.c_size_t, flags: int) -> int:  # noqa: N802
        assert flags == 0
        if self.full:
            return 2
        memory = ctypes.create_string_buffer(b"\xff" * size.value, size.value)
        self.given[ctypes.addressof(memory)] = memory
        place._obj.value = ctypes.addressof(memory)
        return 0

    def cudaFreeHost(self, address: ctypes.c_void_p) -> int:  # noqa: N802
        assert address.value is not None
        del self.given[address.value]
        return 0

    def cudaGetLastError(self) -> int:  # noqa: N802
        self.errors_taken += 1
        return 2


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StubCudaRuntime:
    runtime = StubCudaRuntime()
    monkeypatch.setattr(pinned_memory, "_cuda_runtime", lambda: runtime)
    return runtime


def test_it_is_of_the_cuda_runtime_and_goes_back_to_it(cuda: StubCudaRuntime) -> None:
    array = pinned_array((2, 3), np.float32)
    assert (array.shape, array.dtype) == ((2, 3), np.float32)
    assert list(cuda.given) == [array.ctypes.data]
    np.testing.assert_array_equal(array, np.zeros((2, 3)))
    row = array[1]
    row[:] = 5
    del array
    gc.collect()
    assert len(cuda.given) == 1  # A view keeps it.
    np.testing.assert_array_equal(row, [5, 5, 5])
    del row
    gc.collect()
    assert cuda.given == {}


def test_where_no_more_can_be_pinned_it_is_ordinary(cuda: StubCudaRuntime) -> None:
    cuda.full = True
    np.testing.assert_array_equal(pinned_array((4,), np.uint8), [0, 0, 0, 0])
    assert cuda.errors_taken == 1


def test_where_there_is_no_cuda_it_is_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned_memory, "_LIBRARIES", ("libcudart-that-is-not-here.so",))
    pinned_memory._cuda_runtime.cache_clear()
    try:
        np.testing.assert_array_equal(pinned_array((2,), np.float32), [0, 0])
    finally:
        pinned_memory._cuda_runtime.cache_clear()


def test_nothing_at_all(cuda: StubCudaRuntime) -> None:
    assert pinned_array((0, 128), np.float32).shape == (0, 128)
    assert cuda.given == {}
