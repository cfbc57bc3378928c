"""Starts child processes that end when their parent does, however it ends.

On Linux the kernel sends the child a signal at the parent's death (`prctl(PR_SET_PDEATHSIG)`). The request is made
by a small launcher, which this file is when run as a script: it then becomes the wanted program. A `preexec_fn`
would run Python in a forked copy of a process that may have threads, which can deadlock. On other systems a child
outlives a parent that is killed outright.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1


def start_child(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` (its first word an absolute path) in a session of its own; standard error follows `stdout`.

    `death_signal` is sent when the thread that calls this ends: call it from one that lives as long as the parent.
    `env` None: the parent's environment. The session keeps a terminal's Ctrl-C from the child, so that the parent
    decides who stops when.
    """
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal))]
    return subprocess.Popen(
        [*launcher, *command],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=None if stdout is None else subprocess.STDOUT,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def _become(parent_pid: int, death_signal: int, command: list[str]) -> None:
    """Replace this process with `command`, bound to the life of its parent."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent_pid:
            return  # the parent died before it could be watched
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)  # nosec B606


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
