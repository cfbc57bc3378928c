from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.child_processes import start_child

PLENTY_S = 30.0

PARENT = """
import signal, sys, time
from service.child_processes import start_child
child = start_child([sys.executable, "-c", "import time; time.sleep(600)"], death_signal=signal.SIGKILL)
print(child.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_child_is_the_command_itself(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        program = "import os, sys; print(os.getpid(), sys.argv[1:], os.environ['MARK'])"
        child = start_child(
            [sys.executable, "-c", program, "a b", "--c"],
            death_signal=signal.SIGKILL,
            env={**os.environ, "MARK": "here"},
            stdout=out,
        )
        assert child.wait(PLENTY_S) == 0
    assert (tmp_path / "out").read_text() == f"{child.pid} ['a b', '--c'] here\n"


def test_a_child_has_a_session_of_its_own() -> None:
    child = start_child([sys.executable, "-c", "import time; time.sleep(600)"], death_signal=signal.SIGKILL)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_child_of_a_killed_parent_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child_pid = int(parent.stdout.readline())
    assert _alive(child_pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + PLENTY_S
    while _alive(child_pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
