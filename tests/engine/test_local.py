from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.local import LocalEngine
from service.errors import CorefaceError, DeviceUnavailableError, InferenceFailedError, NotReadyError
from service.types import SetRequest, SetResult
from tests.engine.conftest import make_local
from tests.engine.fakes import FINGERPRINT, PROVIDER, FakeProcessor, make_request
from tests.engine.polling import until


async def test_the_processor_is_built_and_warmed_off_the_loop_and_used_in_one_thread_of_its_own() -> None:
    processor = FakeProcessor()
    built_in: set[int] = set()

    def build() -> tuple[FakeProcessor, str]:
        built_in.add(threading.get_ident())
        return processor, PROVIDER

    engine = LocalEngine(build, FINGERPRINT, max_batch_sets=4, max_waiting_sets=4, device_threads=1, decode_threads=1)
    assert not (await engine.status()).ready
    with pytest.raises(NotReadyError):
        await engine.create(make_request("face"))
    await engine.start()
    assert processor.warm
    assert threading.get_ident() not in built_in
    processor.threads.clear()
    await asyncio.gather(*(engine.create(make_request(f"face {number}")) for number in range(4)))
    assert len(processor.threads) == 1
    assert threading.get_ident() not in processor.threads
    await engine.stop()


async def test_what_building_raises_reaches_the_starter() -> None:
    def build() -> tuple[FakeProcessor, str]:
        raise DeviceUnavailableError("no CUDA here")

    engine = LocalEngine(build, FINGERPRINT, max_batch_sets=4, max_waiting_sets=4, device_threads=1, decode_threads=1)
    with pytest.raises(DeviceUnavailableError, match="no CUDA here"):
        await engine.start()
    await engine.stop()


async def test_a_processor_that_does_not_warm_up_is_never_ready() -> None:
    class Cold(FakeProcessor):
        def warm_up(self) -> None:
            raise InferenceFailedError("cold")

    engine = make_local(Cold())
    with pytest.raises(InferenceFailedError, match="cold"):
        await engine.start()
    assert not (await engine.status()).ready
    await engine.stop()


async def test_swapped_answers_are_found() -> None:
    class Swapping(FakeProcessor):
        def work(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
            return [
                replace(answer, request_id="another") if isinstance(answer, SetResult) else answer
                for answer in super().work(requests)
            ]

    engine = make_local(Swapping())
    await engine.start()
    with pytest.raises(InferenceFailedError, match="another set"):
        await engine.create(make_request("face"))
    await engine.stop()


async def test_a_batch_that_does_not_end_is_seen(tmp_path: Path) -> None:
    engine = make_local(FakeProcessor())
    await engine.start()
    assert engine.stuck_s == 0
    gate = tmp_path / "gate"
    running = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
    await until(lambda: engine.stuck_s > 0.05)
    gate.touch()
    await running
    assert engine.stuck_s == 0
    await engine.stop()


async def test_tenants_take_turns_by_cost(tmp_path: Path) -> None:
    processor = FakeProcessor()
    engine = make_local(processor, max_batch_sets=1)
    await engine.start()
    gate = tmp_path / "gate"
    first = asyncio.create_task(engine.create(make_request(f"wait:{gate}")))
    await until(lambda: processor.batches)
    heavy = [replace(make_request(*"abcd", request_id=f"heavy {n}"), tenant="heavy") for n in range(3)]
    light = [replace(make_request("a", request_id=f"light {n}"), tenant="light") for n in range(5)]
    tasks = [asyncio.create_task(engine.create(request)) for request in (*heavy, *light)]
    await until(lambda: engine.gate.waiting == 8)
    gate.touch()
    await asyncio.gather(first, *tasks)
    order = [request_id for batch in processor.batches[1:] for request_id in batch]
    assert order == ["heavy 0", *(f"light {n}" for n in range(4)), "heavy 1", "light 4", "heavy 2"]
    await engine.stop()
