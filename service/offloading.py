"""Work that takes as long as its bytes are many: in a thread, but for few bytes, which take less than a thread does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

FEW_BYTES = 256 * 1024
"""To copy, hash or seal them takes a tenth of a millisecond or so."""

Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


async def off_loop(
    size: int, work: Callable[Arguments, Outcome], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Outcome:
    """What `work` answers; `size`: of what it works on, bytes."""
    if size <= FEW_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
