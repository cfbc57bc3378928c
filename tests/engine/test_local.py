from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.engine.local import LocalEngine
from service.errors import CorefaceError, DeviceUnavailableError, InferenceFailedError, NotReadyError
from service.types import SetRequest, SetResult
from tests.engine.conftest import make_local
from tests.engine.fakes import FINGERPRINT, PROVIDER, FakeProcessor, make_request


async def test_the_processor_is_built_warmed_and_used_in_one_thread_of_its_own() -> None:
    processor = FakeProcessor()
    built_in: set[int] = set()

    def build() -> tuple[FakeProcessor, str]:
        built_in.add(threading.get_ident())
        return processor, PROVIDER

    engine = LocalEngine(build, FINGERPRINT, max_batch_sets=4, max_waiting_sets=4)
    assert not (await engine.status()).ready
    with pytest.raises(NotReadyError):
        await engine.create(make_request("face"))
    await engine.start()
    assert processor.warm
    await engine.create(make_request("face"))
    assert processor.threads == built_in
    assert threading.get_ident() not in built_in
    await engine.stop()
    assert processor.closed


async def test_what_building_raises_reaches_the_starter() -> None:
    def build() -> tuple[FakeProcessor, str]:
        raise DeviceUnavailableError("no CUDA here")

    engine = LocalEngine(build, FINGERPRINT, max_batch_sets=4, max_waiting_sets=4)
    with pytest.raises(DeviceUnavailableError, match="no CUDA here"):
        await engine.start()
    await engine.stop()


async def test_a_processor_that_does_not_warm_up_is_never_ready_and_is_closed() -> None:
    class Cold(FakeProcessor):
        def warm_up(self) -> None:
            raise InferenceFailedError("cold")

    processor = Cold()
    engine = make_local(processor)
    with pytest.raises(InferenceFailedError, match="cold"):
        await engine.start()
    assert not (await engine.status()).ready
    await engine.stop()
    assert processor.closed


async def test_swapped_answers_are_found() -> None:
    class Swapping(FakeProcessor):
        def process(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
            return [
                replace(answer, request_id="another") if isinstance(answer, SetResult) else answer
                for answer in super().process(requests)
            ]

    engine = make_local(Swapping())
    await engine.start()
    with pytest.raises(InferenceFailedError, match="another set"):
        await engine.create(make_request("face"))
    await engine.stop()
