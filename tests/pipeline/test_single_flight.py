import asyncio

import pytest

from service.pipeline.single_flight import SingleFlight


class Computation:
    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.started


async def test_equal_requests_share_one_computation() -> None:
    flights: SingleFlight[int] = SingleFlight()
    computation = Computation()
    callers = [asyncio.create_task(flights.run("key", computation)) for _ in range(1000)]
    await asyncio.sleep(0)
    computation.gate.set()
    assert await asyncio.gather(*callers) == [1] * 1000


async def test_other_keys_and_later_requests_compute_anew() -> None:
    flights: SingleFlight[int] = SingleFlight()
    computation = Computation()
    computation.gate.set()
    assert await flights.run("key", computation) == 1
    assert await flights.run("key", computation) == 2
    assert await flights.run("other", computation) == 3


async def test_errors_are_shared_and_not_kept() -> None:
    flights: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    outcomes = await asyncio.gather(*(flights.run("key", fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    computation = Computation()
    computation.gate.set()
    assert await flights.run("key", computation) == 1


async def test_one_caller_that_leaves_does_not_disturb_the_others() -> None:
    flights: SingleFlight[int] = SingleFlight()
    computation = Computation()
    leaving, staying = (asyncio.create_task(flights.run("key", computation)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    computation.gate.set()
    assert await staying == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_the_computation_ends_with_its_last_caller() -> None:
    flights: SingleFlight[int] = SingleFlight()
    computation = Computation()
    callers = [asyncio.create_task(flights.run("key", computation)) for _ in range(2)]
    await asyncio.sleep(0.01)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert computation.cancelled == 1
    computation.gate.set()
    assert await flights.run("key", computation) == 2
