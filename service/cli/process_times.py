"""How much CPU other processes have used (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

from service.errors import SetupError


def cpu_seconds(pid: int) -> float:
    """Of a process and its threads so far, user and system. Raises `SetupError` where the system does not tell."""
    try:
        # Behind the name, which may hold anything: the 14th and 15th fields of all, in ticks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise SetupError("Processor times of other processes can be read on Linux only.") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
