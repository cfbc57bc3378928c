"""The template engine in this process: one compute thread, batches over concurrent sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from service.engine.result_check import check_result
from service.errors import CorefaceError, FingerprintMismatchError, NotReadyError
from service.pipeline.batching import MicroBatcher
from service.types import EngineStatus, SetRequest, SetResult


class SetProcessor(Protocol):
    """Does the work of a batch of sets; called from one thread at a time."""

    def warm_up(self) -> None: ...

    def process(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
        """One answer per request, in order."""
        ...

    def close(self) -> None: ...


class LocalEngine:
    """A `TemplateEngine` around one `SetProcessor`.

    `build_processor` runs in the compute thread at the start, and answers the processor and the execution provider
    that really runs.
    """

    def __init__(
        self,
        build_processor: Callable[[], tuple[SetProcessor, str]],
        fingerprint: str,
        *,
        max_batch_sets: int,
        max_waiting_sets: int,
    ) -> None:
        self._build_processor = build_processor
        self._fingerprint = fingerprint
        self._built: tuple[SetProcessor, str] | None = None
        self._ready = False
        self._batcher: MicroBatcher[SetRequest, SetResult] = MicroBatcher(
            self._process,
            max_batch=max_batch_sets,
            max_waiting=max_waiting_sets,
            report_queue=_with_queue_seconds,
        )

    async def start(self) -> None:
        """Build the processor and warm it up. Raises what building raises, and `InferenceFailedError`."""
        await self._batcher.start(self._build)
        self._ready = True

    async def stop(self) -> None:
        self._ready = False
        await self._batcher.stop()
        if self._built is not None:
            self._built[0].close()

    async def create(self, request: SetRequest) -> SetResult:
        if request.fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"The set is for pack {request.fingerprint}; this engine runs {self._fingerprint}."
            )
        return check_result(request, await self._batcher.submit(request, request.timeout_s))

    async def status(self) -> EngineStatus:
        if self._built is None or not self._ready:
            return EngineStatus(ready=False, detail="The model is not loaded.", workers=0, providers=())
        provider = self._built[1]
        return EngineStatus(
            ready=True, detail=f"The model runs in this process on {provider}.", workers=1, providers=(provider,)
        )

    def _build(self) -> None:
        processor, provider = self._build_processor()
        self._built = (processor, provider)
        processor.warm_up()

    def _process(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
        if self._built is None:
            raise NotReadyError("The model is not loaded.")
        return self._built[0].process(requests)


def _with_queue_seconds(result: SetResult, seconds: float) -> SetResult:
    return replace(result, stage_seconds={"queue": seconds, **result.stage_seconds})
