"""A worker process around the fake processor: `python -m tests.engine.fake_worker`, settings from the environment."""

from __future__ import annotations

import asyncio
import faulthandler
import signal

from service.engine.consumer import WorkerTiming
from service.engine.worker import serve_jobs
from service.settings import Settings
from tests.engine.fakes import FINGERPRINT, build_fake

QUICK = WorkerTiming(beat_interval_s=0.2, abandoned_after_s=1.5, block_s=0.1, hang_grace_s=1.0)
"""For tests: a dead worker is known within two seconds, and one that hangs ends soon after the request."""


def main() -> None:
    faulthandler.register(signal.SIGUSR1)
    asyncio.run(serve_jobs(Settings(), FINGERPRINT, build_fake, QUICK))


if __name__ == "__main__":
    main()
