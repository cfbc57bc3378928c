from __future__ import annotations

import threading

from service.offloading import FEW_BYTES, off_loop


async def test_what_is_small_is_done_at_once_and_the_rest_in_a_thread() -> None:
    here = threading.current_thread()
    assert await off_loop(FEW_BYTES, threading.current_thread) is here
    assert await off_loop(FEW_BYTES + 1, threading.current_thread) is not here
