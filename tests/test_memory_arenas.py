"""Heaps of the C library."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import threading
from pathlib import Path
from service.memory_arenas import limit_arenas

assert limit_arenas(2)
barrier = threading.Barrier(9)

def hold():
    kept = [bytearray(200_000) for _ in range(20)] + [bytes(1000) for _ in range(2000)]
    barrier.wait()
    barrier.wait()

threads = [threading.Thread(target=hold) for _ in range(8)]
[thread.start() for thread in threads]
barrier.wait()
# Arenas beside the main one are mapped 64 MiB at a time, of which most is reserved and cannot be touched.
reserved = [line for line in Path("/proc/self/maps").read_text().splitlines() if "---p" in line]
sizes = [int(end, 16) - int(begin, 16) for begin, end in (line.split()[0].split("-") for line in reserved)]
print(sum(size > 32 * 2**20 for size in sizes))
barrier.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_share_the_heaps_there_are() -> None:
    answer = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(answer.stdout) <= 2
