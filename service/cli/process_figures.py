"""What other processes use: CPU time and memory, from `/proc` (Linux)."""

from __future__ import annotations

import math
import os
from pathlib import Path

from service.errors import SetupError

_ROLES = {"api": "api", "worker": "worker", "valkey-server": "store"}
"""By a word of the command line."""


def find_children(supervisor_pid: int) -> dict[str, int]:
    """Process ids of the `api`, the `worker` and the `store` that `coreface serve` started, where they can be seen; of
    several workers, one."""
    found: dict[str, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = next(line for line in status.read_text().splitlines() if line.startswith("PPid:"))
            # A server writes what it does behind its name, with spaces between.
            words = (status.parent / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
        except OSError:
            continue  # ended since it was listed
        role = next((_ROLES[name] for word in words if (name := Path(word).name) in _ROLES), None)
        if role is not None and int(parent.split()[1]) == supervisor_pid:
            found[role] = int(status.parent.name)
    return found


def memory_mib(pid: int | None) -> float:
    """Resident set; not a number where it cannot be seen."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), math.nan)


def cpu_seconds(pid: int | None, *, main_thread: bool = False) -> float:
    """Of a process and its threads so far, or of its first thread alone, user and system. Raises `SetupError` where the
    system does not tell."""
    path = Path(f"/proc/{pid}/task/{pid}/stat" if main_thread else f"/proc/{pid}/stat")
    try:
        # Behind the name, which may hold anything: the 14th and 15th fields of all, in ticks.
        fields = path.read_text().rpartition(")")[2].split()
    except OSError as error:
        raise SetupError("Processor times of other processes can be read on Linux only.") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
