"""A worker process without networks: `python -m tests.cluster.stub_worker PORT SECONDS`, settings from the environment.

It serves the installed default pack's jobs with embeddings that depend on the digest of the sample alone, after SECONDS
of compute for each set. A dead one is known within two seconds, rather than five.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from service.engine.worker import serve_jobs
from service.errors import CorefaceError
from service.pipeline.stages import Stage, StageRunner
from service.runtime.pack import load_pack
from service.settings import Settings
from service.types import Aggregation, EmbeddedSample, SetRequest, SetResult
from tests.engine.fake_worker import QUICK
from tests.pipeline.fakes import embed

_MOST_TOGETHER = 8
"""Sets of one batch."""


class StubProcessor:
    """`width`: of the embeddings; `service_s`: compute time of one set, seconds."""

    def __init__(self, width: int, service_s: float) -> None:
        self._width = width
        self.service_s = service_s

    def attach(self, device: StageRunner, _decoders: StageRunner) -> None:
        self._stage: Stage[SetRequest, SetResult] = device.add_stage("embed", self.work, max_cost=_MOST_TOGETHER)

    def warm_up(self) -> None: ...

    async def process(self, request: SetRequest, deadline: float) -> SetResult:
        return await self._stage.submit(request, deadline=deadline)

    def work(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
        self.compute(requests)
        return [self._one(request) for request in requests]

    def compute(self, requests: Sequence[SetRequest]) -> None:
        """Take the time that these sets take."""
        time.sleep(self.service_s * len(requests))

    def _one(self, request: SetRequest) -> SetResult:
        fresh = [embed(sample.digest, width=self._width) for sample in request.samples]
        outcomes = tuple(sorted((*fresh, *request.known), key=lambda outcome: outcome.digest))
        embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedSample)]
        aggregation = mean_of(embedded) if embedded else None
        groups = tuple(0 if isinstance(outcome, EmbeddedSample) else None for outcome in outcomes)
        return SetResult(request.request_id, outcomes, aggregation, {"embed": self.service_s}, groups)


def mean_of(embedded: Sequence[EmbeddedSample]) -> Aggregation:
    """The template that a stand-in makes."""
    mean = np.mean([sample.embedding.vector for sample in embedded], axis=0)
    norm = float(np.linalg.norm(mean))
    weights = (1 / len(embedded),) * len(embedded)
    return Aggregation((mean / norm).astype(np.float32), norm, (0,), weights)


def serve(build: Callable[[int, float], StubProcessor]) -> None:
    """Be a worker process; port and compute time are words of the command."""
    settings = Settings(host="127.0.0.1", worker_port=int(sys.argv[1]))
    pack = load_pack(settings.packs_path / settings.pack)
    processor = build(pack.manifest.embedder.width, float(sys.argv[2]))
    asyncio.run(serve_jobs(settings, pack.fingerprint, lambda: (processor, "StubExecutionProvider"), QUICK))


if __name__ == "__main__":
    serve(StubProcessor)
