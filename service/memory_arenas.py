"""How many heaps the C library keeps for the threads of a process."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
"""Of glibc's `malloc.h`."""


def limit_arenas(count: int) -> bool:
    """At most `count` of them from now on, before threads are started; False where the C library has no such thing.

    glibc gives every thread a heap of its own, and what a thread has freed in one of them is of no use to the others: a
    worker of eight threads that pass images on kept a tenth of its memory that way.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, count))
