"""The template engine in this process: threads for the networks, batches over concurrent sets."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from service.conditions import EngineStatus
from service.engine.result_check import check_result
from service.errors import DeadlineExceededError, FingerprintMismatchError, NotReadyError
from service.observability import tracing
from service.observability.set_tracing import set_span
from service.pipeline.fair_gate import ADMISSION_SHARE, FairGate
from service.pipeline.stages import BatchObserver, StageRunner, unobserved
from service.types import SetRequest, SetResult


class SetProcessor(Protocol):
    """Does the work of one set by handing it from stage to stage."""

    def attach(self, device: StageRunner, decoders: StageRunner) -> None:
        """Add its stages to the threads of the networks and to the threads beside them; none is running yet."""
        ...

    def warm_up(self) -> None: ...

    async def process(self, request: SetRequest, deadline: float) -> SetResult:
        """What became of the set, before `deadline` (monotonic seconds)."""
        ...


class LocalEngine:
    """A `TemplateEngine` around one `SetProcessor`.

    `build_processor` runs off the event loop at the start, and answers the processor and the execution provider that
    really runs. `max_batch_sets` sets are between the stages at once; `max_waiting_sets` more wait, in fair order.
    `admitted`: whoever sends sets has decided that they can be done in time; none is refused here for that.
    """

    def __init__(
        self,
        build_processor: Callable[[], tuple[SetProcessor, str]],
        fingerprint: str,
        *,
        max_batch_sets: int,
        max_waiting_sets: int,
        device_threads: int,
        decode_threads: int,
        observe: BatchObserver = unobserved,
        admitted: bool = False,
    ) -> None:
        self._build_processor = build_processor
        self._fingerprint = fingerprint
        self._built: tuple[SetProcessor, str] | None = None
        self._ready = False
        self._device = StageRunner("device", threads=device_threads, observe=observe)
        self._decoders = StageRunner("decode", threads=decode_threads, observe=observe)
        self._gate = FairGate(max_batch_sets, max_waiting_sets, time_share=math.inf if admitted else ADMISSION_SHARE)

    async def start(self) -> None:
        """Build the processor and warm it up. Raises what building raises, and `InferenceFailedError`."""
        await asyncio.to_thread(self._build)
        self._device.start()
        self._decoders.start()
        self._ready = True

    async def stop(self) -> None:
        self._ready = False
        await asyncio.to_thread(self._device.stop)
        await asyncio.to_thread(self._decoders.stop)

    async def create(self, request: SetRequest) -> SetResult:
        if request.fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"The set is for pack {request.fingerprint}; this engine runs {self._fingerprint}."
            )
        if self._built is None or not self._ready:
            raise NotReadyError("The engine is not running.")
        with set_span(request):
            return await self._create(request, self._built[0])

    async def _create(self, request: SetRequest, processor: SetProcessor) -> SetResult:
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(request.timeout_s) as limit,
                self._gate.enter(request.tenant, request.cost, request.timeout_s),
            ):
                entered = time.monotonic()
                tracing.past_span("wait", entered - began)
                result = await processor.process(request, began + request.timeout_s)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this set ran out before it was done.") from None
        seconds = {"queue": entered - began, **result.stage_seconds}
        return check_result(request, replace(result, stage_seconds=seconds))

    def check_load(self, tenant: str, time_left_s: float) -> None:
        self._gate.check(tenant, 1, time_left_s)

    async def status(self) -> EngineStatus:
        if self._built is None or not self._ready:
            return EngineStatus(ready=False, detail="The model is not loaded.", workers=0, providers=())
        provider = self._built[1]
        return EngineStatus(
            ready=True,
            detail=f"The model runs in this process on {provider}.",
            workers=1,
            providers=(provider,),
            sets_waiting=self._gate.waiting,
            sets_in_flight=self._gate.inside,
            oldest_s=self._gate.oldest_s,
        )

    @property
    def known_workers(self) -> int:
        """This process, once it is ready."""
        return int(self._ready)

    @property
    def gate(self) -> FairGate:
        """For the metrics."""
        return self._gate

    @property
    def stuck_s(self) -> float:
        """How long the longest running of the batches that run now has been running, seconds."""
        return max(self._device.busy_s, self._decoders.busy_s)

    def _build(self) -> None:
        self._built = self._build_processor()
        processor = self._built[0]
        processor.attach(self._device, self._decoders)
        processor.warm_up()


@asynccontextmanager
async def running(engine: LocalEngine) -> AsyncIterator[LocalEngine]:
    """Start it, stop it."""
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()
