"""A stand-in for a worker that dies, hangs and runs out of memory when it is told to:
`python -m tests.resilience.faulty_worker PORT SECONDS`, with its folder of faults in `STAND_IN_FAULTS`.

A file named like a fault point kills the first worker process that comes to that point: taking the file away and dying
are one step, so one file is one death. What a set does is written in its samples (`HANGING`, `HEAVY`, `TOO_HEAVY`).
What was seen is noted as lines of files in the same folder: `late`, `heavy`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.engine import streams
from service.errors import OutOfMemoryError
from service.types import SetRequest, SetResult
from tests.cluster.stub_worker import StubProcessor, serve

FOLDER_VARIABLE = "STAND_IN_FAULTS"
HANGING = b"the computation of this set never ends"
HEAVY = b"of these sets a few fit into memory together"
TOO_HEAVY = b"this set does not fit into memory"
MOST_HEAVY = 2


class FaultPoint(StrEnum):
    """Where a worker process can be told to die."""

    TAKEN = "taken"
    """A set was taken from the stream and unsealed, and is not computed yet."""
    COMPUTING = "computing"
    COMPUTED = "computed"
    """Computed, and the reply not sealed yet."""
    BEFORE_REPLY = "before-reply"
    """The transaction that answers and removes the job has not begun."""
    AFTER_REPLY = "after-reply"


class Faults:
    """A folder that tests and worker processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def arm(self, point: FaultPoint) -> None:
        (self._folder / point).touch()

    def armed(self, point: FaultPoint) -> bool:
        return (self._folder / point).exists()

    def reach(self, point: FaultPoint) -> None:
        try:
            (self._folder / point).rename(self._folder / f"{point}-{os.getpid()}")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def note(self, what: str) -> None:
        with (self._folder / what).open("a") as notes:
            notes.write("\n")

    def noted(self, what: str) -> int:
        """How often, by all worker processes."""
        notes = self._folder / what
        return len(notes.read_text()) if notes.exists() else 0


class FaultyProcessor(StubProcessor):
    """Does what files and samples say."""

    def __init__(self, width: int, service_s: float) -> None:
        super().__init__(width, service_s)
        self.faults = Faults(Path(os.environ[FOLDER_VARIABLE]))
        self._deadlines: dict[str, float] = {}
        self._never = threading.Event()
        """Waited for instead of `time.sleep`, which fails with a clock of libfaketime."""

    async def process(self, request: SetRequest, deadline: float) -> SetResult:
        self.faults.reach(FaultPoint.TAKEN)
        self._deadlines[request.request_id] = deadline
        try:
            result = await super().process(request, deadline)
        finally:
            del self._deadlines[request.request_id]
        self.faults.reach(FaultPoint.COMPUTED)
        return result

    def compute(self, requests: Sequence[SetRequest]) -> None:
        now = time.monotonic()
        for request in requests:
            # A set that nobody waits for any longer has no deadline here either.
            if self._deadlines.get(request.request_id, 0.0) < now:
                self.faults.note("late")
        contents = [b"".join(sample.data for sample in request.samples) for request in requests]
        if any(HANGING in content for content in contents):
            self._never.wait()
        if any(TOO_HEAVY in content for content in contents) or sum(HEAVY in each for each in contents) > MOST_HEAVY:
            self.faults.note("heavy")
            raise OutOfMemoryError("told to")
        self._never.wait(self.service_s * len(requests) / 2)
        self.faults.reach(FaultPoint.COMPUTING)
        self._never.wait(self.service_s * len(requests) / 2)


def die_around_replies(faults: Faults) -> None:
    answer = streams.reply_and_finish

    async def reply_and_finish(*arguments: Any, **options: Any) -> None:
        faults.reach(FaultPoint.BEFORE_REPLY)
        await answer(*arguments, **options)
        faults.reach(FaultPoint.AFTER_REPLY)

    streams.reply_and_finish = reply_and_finish


if __name__ == "__main__":
    die_around_replies(Faults(Path(os.environ[FOLDER_VARIABLE])))
    serve(FaultyProcessor)
