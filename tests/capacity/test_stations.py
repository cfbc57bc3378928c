"""The parts of the simulator against closed forms of queueing theory."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from service.capacity.simulation import Event, Process, Simulation, all_of
from service.capacity.stations import Cores, Door, Station


def sojourn_times(service_s: float, rate: float, count: int, *, exponential: bool, shared: bool) -> list[float]:
    """Of Poisson customers of one server that serves in order, or of one core that is shared."""
    random_ = random.Random(7)
    simulation = Simulation()
    serve = Cores(simulation, 1).work if shared else Station(simulation).serve
    times: list[float] = []

    def customer() -> Process:
        came = simulation.now
        yield serve(random_.expovariate(1 / service_s) if exponential else service_s)
        times.append(simulation.now - came)

    at = 0.0
    for _ in range(count):
        at += random_.expovariate(rate)
        simulation.plan(at, lambda: simulation.start(customer()))
    simulation.run()
    return times


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_m_m_1(load: float) -> None:
    times = sojourn_times(1.0, load, 40_000, exponential=True, shared=False)
    # Sojourn times are exponential with mean s / (1 - rho).
    mean = 1 / (1 - load)
    assert statistics.fmean(times) == pytest.approx(mean, rel=0.05)
    assert sorted(times)[int(0.99 * len(times))] == pytest.approx(mean * math.log(100), rel=0.08)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_m_d_1(load: float) -> None:
    times = sojourn_times(1.0, load, 40_000, exponential=False, shared=False)
    # Pollaczek and Khinchine.
    assert statistics.fmean(times) == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def test_a_shared_core_is_insensitive_to_how_work_is_spread() -> None:
    for exponential in (True, False):
        times = sojourn_times(1.0, 0.6, 40_000, exponential=exponential, shared=True)
        assert statistics.fmean(times) == pytest.approx(1 / (1 - 0.6), rel=0.05)


def test_cores_are_shared_evenly_and_only_when_there_are_too_few() -> None:
    simulation = Simulation()
    cores = Cores(simulation, 2)
    ended: list[float] = []
    for seconds in (1.0, 2.0, 3.0):
        cores.work(seconds).then(lambda _event: ended.append(simulation.now))
    simulation.run()
    # Three on two cores until 1.5 (one second each), then two on two.
    assert ended == pytest.approx([1.5, 2.5, 3.5])
    assert cores.busy_s == 6.0


def test_a_door_lets_in_in_order() -> None:
    door = Door(1, max_waiting=2)
    entered: list[int] = []
    for number in range(3):
        assert not door.is_full
        door.enter().then(lambda _event, number=number: entered.append(number))
    assert entered == [0]
    assert door.is_full
    door.leave()
    assert entered == [0, 1]
    assert not door.is_full


def test_all_of_waits_for_the_last() -> None:
    first, second = Event(), Event()
    together = all_of([first, second])
    first.happen()
    assert not together.happened
    second.happen()
    assert together.happened
    assert all_of([]).happened


def test_what_was_planned_first_comes_first() -> None:
    simulation = Simulation()
    order: list[str] = []
    for name in "abc":
        simulation.plan(1.0, lambda name=name: order.append(name))
    simulation.plan(0.5, lambda: order.append("early"))
    simulation.run()
    assert order == ["early", "a", "b", "c"]
