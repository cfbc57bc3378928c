"""Memory of the host that an NVIDIA GPU reads and writes by itself, without a copy by the driver (pinned, page-locked).

ONNX Runtime hands none to Python, so it comes from the CUDA runtime that ONNX Runtime has loaded.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
_PLAIN = 0
"""`cudaHostAllocDefault`."""


def pinned_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[np.generic]:
    """Of zeros. In ordinary memory where there is no CUDA, or no more of it to be pinned: that is slower, not wrong."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = _allocate(size) if size else None
    if memory is None:
        return np.zeros(shape, dtype)
    array: NDArray[np.generic] = np.ndarray(shape, dtype, memoryview(memory))
    array.fill(0)
    return array


def _allocate(size: int) -> ctypes.Array[ctypes.c_char] | None:
    """`size` bytes, which are given back when nothing refers to them any more."""
    runtime = _cuda_runtime()
    if runtime is None:
        return None
    address = ctypes.c_void_p()
    if runtime.cudaHostAlloc(ctypes.byref(address), ctypes.c_size_t(size), _PLAIN) != 0 or address.value is None:
        # Else ONNX Runtime would find this error after its next kernel, and take it for its own.
        runtime.cudaGetLastError()
        return None
    memory = (ctypes.c_char * size).from_address(address.value)
    # Not when the process ends: the driver may be gone by then, and takes all of it back anyway.
    weakref.finalize(memory, runtime.cudaFreeHost, address).atexit = False
    return memory


@lru_cache(maxsize=1)
def _cuda_runtime() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
