from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import OverloadedError
from service.pipeline.fair_gate import ADMISSION_SHARE, FairGate

PLENTY_S = 1e6


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A gate, and work that goes in and out when told."""

    def __init__(self, capacity: int = 1, max_waiting: int = 100, time_share: float = ADMISSION_SHARE) -> None:
        self.clock = Clock()
        self.gate = FairGate(capacity, max_waiting, time_share=time_share, clock=self.clock)
        self.entered: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, name: str, tenant: str = "t", cost: int = 1, time_left_s: float = PLENTY_S) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, tenant, cost, time_left_s))
        await settle()

    async def finish(self, name: str, after_s: float = 0.0) -> None:
        self.clock.now += after_s
        self.leave[name].set()
        await self.tasks[name]
        await settle()

    async def finish_all(self) -> None:
        for event in self.leave.values():
            event.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def error(self, name: str) -> BaseException | None:
        return self.tasks[name].exception() if self.tasks[name].done() else None

    async def _work(self, name: str, tenant: str, cost: int, time_left_s: float) -> None:
        async with self.gate.enter(tenant, cost, time_left_s):
            self.entered.append(name)
            await self.leave[name].wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_open_gate_lets_through_at_once_and_a_full_one_by_turn() -> None:
    rig = Rig(capacity=2)
    for name in "abcd":
        await rig.arrive(name)
    assert rig.entered == ["a", "b"]
    assert (rig.gate.inside, rig.gate.waiting, rig.gate.waiting_cost) == (2, 2, 2)
    await rig.finish("b")
    assert rig.entered == ["a", "b", "c"]
    await rig.finish_all()
    assert (rig.gate.inside, rig.gate.waiting) == (0, 0)


async def test_who_has_much_waiting_does_not_hold_up_who_has_little() -> None:
    rig = Rig()
    await rig.arrive("running", "heavy")
    for number in range(3):
        await rig.arrive(f"heavy {number}", "heavy", cost=10)
    for number in range(3):
        await rig.arrive(f"light {number}", "light", cost=1)
    for name in ("running", "light 0", "heavy 0", "light 1", "light 2", "heavy 1"):
        await rig.finish(name)
    assert rig.entered == ["running", "light 0", "heavy 0", "light 1", "light 2", "heavy 1", "heavy 2"]
    await rig.finish_all()


async def test_a_tenant_that_was_away_has_saved_up_nothing() -> None:
    rig = Rig()
    await rig.arrive("running", "busy")
    for number in range(6):
        await rig.arrive(f"busy {number}", "busy", cost=5)
    for name in ("running", "busy 0", "busy 1", "busy 2"):
        await rig.finish(name)
    for number in range(3):
        await rig.arrive(f"late {number}", "late", cost=5)
    for name in ("busy 3", "late 0", "busy 4", "late 1"):
        await rig.finish(name)
    assert rig.entered[4:] == ["busy 3", "late 0", "busy 4", "late 1", "busy 5"]
    await rig.finish_all()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 20)), min_size=1, max_size=40))
def test_while_all_have_work_no_tenant_gets_more_than_one_piece_ahead(work: list[tuple[str, int]]) -> None:
    async def run() -> None:
        rig = Rig()
        await rig.arrive("running", "running")
        for number, (tenant, cost) in enumerate(work):
            await rig.arrive(f"{tenant} {cost} {number}", tenant, cost)
        left = Counter(tenant for tenant, _ in work)
        served: Counter[str] = Counter()
        await rig.finish("running")
        for _ in work:
            tenant, cost, _number = (name := rig.entered[-1]).split()
            if all(left[other] for other in left):
                gap = max(served.values(), default=0) - min((served[other] for other in left), default=0)
                assert gap <= 40, "two pieces of the largest cost"
            served[tenant] += int(cost)
            left[tenant] -= 1
            await rig.finish(name)
        assert len(rig.entered) == len(work) + 1

    asyncio.run(run())


async def test_a_full_queue_refuses_who_has_most_and_makes_room_for_who_has_less() -> None:
    rig = Rig(max_waiting=3)
    await rig.arrive("running", "heavy")
    for number in range(3):
        await rig.arrive(f"heavy {number}", "heavy", cost=4)
    await rig.arrive("heavy 3", "heavy", cost=1)
    assert isinstance(rig.error("heavy 3"), OverloadedError)
    rig.gate.check("light", 1, PLENTY_S)
    with pytest.raises(OverloadedError):
        rig.gate.check("heavy", 1, PLENTY_S)
    await rig.arrive("light", "light", cost=4)
    assert rig.error("light") is None
    assert isinstance(rig.error("heavy 2"), OverloadedError), "the last of the one who has most"
    assert rig.gate.waiting_cost == 12
    await rig.finish_all()
    assert sorted(rig.entered) == ["heavy 0", "heavy 1", "light", "running"]


async def test_who_goes_away_frees_the_place() -> None:
    rig = Rig(capacity=1, max_waiting=1)
    await rig.arrive("running")
    for number in range(50):
        await rig.arrive(f"gone {number}")
        assert rig.gate.waiting == 1
        rig.tasks[f"gone {number}"].cancel()
        await settle()
        assert (rig.gate.waiting, rig.gate.waiting_cost) == (0, 0)
    rig.tasks["running"].cancel()
    await settle()
    assert rig.gate.inside == 0
    await rig.arrive("next")
    assert rig.entered == ["running", "next"]
    await rig.finish_all()


async def test_let_in_and_cancelled_in_the_same_moment_leaves_no_place_taken() -> None:
    rig = Rig()
    await rig.arrive("running")
    await rig.arrive("gone")
    rig.leave["running"].set()
    while rig.gate.waiting:  # noqa: ASYNC110 (the gate is another task's)
        await asyncio.sleep(0)
    rig.tasks["gone"].cancel()
    await settle()
    assert rig.gate.inside == 0


async def test_more_capacity_lets_in_who_waits() -> None:
    rig = Rig()
    for name in "abc":
        await rig.arrive(name)
    rig.gate.capacity = 3
    await settle()
    assert rig.entered == ["a", "b", "c"]
    rig.gate.capacity = 1
    await rig.arrive("d")
    await rig.finish("a")
    assert rig.entered == ["a", "b", "c"]
    await rig.finish_all()


class TestMeasuredThroughput:
    """One sample a second through a gate of one."""

    async def measured(self, time_share: float = ADMISSION_SHARE) -> Rig:
        rig = Rig(time_share=time_share)
        await rig.arrive("0")
        for number in range(20):
            await rig.arrive(str(number + 1))
            await rig.finish(str(number), after_s=1.0)
        return rig

    async def test_it_is_cost_per_second_while_the_gate_is_full(self) -> None:
        rig = await self.measured()
        assert rig.gate.cost_per_s == pytest.approx(1.0)
        await rig.finish("20", after_s=1.0)
        rig.clock.now += 10
        await rig.arrive("later")
        await rig.finish("later", after_s=40.0)
        assert rig.gate.cost_per_s == pytest.approx(1.0), "a gate that is not kept full tells nothing"
        rig.clock.now += 20
        assert rig.gate.cost_per_s is None, "what was measured long ago is forgotten"

    async def test_an_open_gate_lets_in_no_more_than_can_be_done_in_time(self) -> None:
        rig = await self.measured()
        rig.gate.capacity = 100  # as where several processes share workers: each of them has room for all
        for number in range(30):
            await rig.arrive(f"w{number}", time_left_s=15.0 / ADMISSION_SHARE)
        entered = [name for name in rig.entered if name.startswith("w")]
        assert len(entered) == 14, "and one that was there before"
        assert isinstance(rig.error("w14"), OverloadedError)
        # Twice as fast, with more to do all the time: as many more are let in.
        following = 30
        for _ in range(60):
            await rig.finish(next(name for name in rig.entered if not rig.tasks[name].done()), after_s=0.5)
            for _ in range(3):
                await rig.arrive(f"w{following}", time_left_s=15.0 / ADMISSION_SHARE)
                following += 1
        assert rig.gate.cost_per_s == pytest.approx(2.0, rel=0.1)
        assert rig.gate.inside == pytest.approx(30, abs=3)
        await rig.finish_all()

    async def test_an_empty_gate_lets_in_whatever_comes_however_slow_it_was(self) -> None:
        rig = await self.measured()
        await rig.finish("20", after_s=1.0)
        await rig.arrive("slow", time_left_s=0.1)
        assert "slow" in rig.entered
        with pytest.raises(OverloadedError):
            rig.gate.check("t", 1, 0.1)
        await rig.finish_all()

    async def test_nothing_is_known_before_the_gate_was_ever_full(self) -> None:
        rig = Rig(capacity=2)
        await rig.arrive("a")
        await rig.finish("a", after_s=5.0)
        assert rig.gate.cost_per_s is None
        rig.gate.check("t", 1, 0.001)

    async def test_what_is_given_up_is_no_work_done(self) -> None:
        rig = await self.measured()
        for number in range(30):
            await rig.arrive(f"w{number}")
        for name in ("20", *(f"w{number}" for number in range(29))):
            rig.clock.now += 1.0
            rig.tasks[name].cancel()
            await settle()
        assert rig.gate.cost_per_s is not None
        assert rig.gate.cost_per_s < 0.1
        await rig.finish_all()

    async def test_what_would_be_late_is_refused_with_advice_when_to_come_again(self) -> None:
        rig = await self.measured()
        for number in range(10):
            await rig.arrive(f"w{number}", cost=3)
        await rig.arrive("in time", time_left_s=33.0 / ADMISSION_SHARE)
        assert rig.error("in time") is None
        await rig.arrive("at the edge", time_left_s=33.0)
        late = rig.error("at the edge")
        assert isinstance(late, OverloadedError)
        assert late.retry_after_s == 31
        await rig.finish_all()

    async def test_what_was_admitted_elsewhere_is_not_refused_for_the_time(self) -> None:
        rig = await self.measured(math.inf)
        await rig.arrive("late", time_left_s=0.1)
        assert rig.error("late") is None
        await rig.finish_all()

    async def test_a_new_tenant_waits_for_its_turn_only(self) -> None:
        rig = await self.measured()
        for number in range(10):
            await rig.arrive(f"w{number}", "heavy", cost=3)
        await rig.arrive("light", "light", time_left_s=8.0)
        assert rig.error("light") is None
        rig.gate.check("another", 1, 8.0)
        with pytest.raises(OverloadedError):
            rig.gate.check("another", 1, 1.5)
        with pytest.raises(OverloadedError):
            rig.gate.check("heavy", 1, 8.0)
        await rig.finish_all()

    async def test_it_follows_a_change(self) -> None:
        rig = await self.measured()
        for number in range(40):
            await rig.arrive(f"fast {number}")
        for number in (20, *range(40)):
            name = str(number) if number == 20 and "20" in rig.entered[-1:] else None
            current = name or rig.entered[-1]
            await rig.finish(current, after_s=0.1)
        assert rig.gate.cost_per_s is not None
        assert rig.gate.cost_per_s > 1.2
        await rig.finish_all()
