"""Who may go next: admission and order of concurrent work, fair between tenants by cost.

Work that finds the gate open goes through at once. Otherwise it waits, and whoever leaves lets the next one in: the one
with the smallest start tag (start-time fair queueing, Goyal, Vin & Cheng 1996), so that a tenant with a thousand
pictures waiting delays another's first picture by one turn and not by a thousand. What cannot be done in time is
refused at once rather than late: the gate measures how much cost goes through it while there is more to do than that,
and so knows how long what it let in and what waits take. Gates that are open by their number alone (those of several
processes before the same workers) would let in so much that all of it is late.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.errors import OverloadedError

ADMISSION_SHARE = 0.75
"""Of its time that work may be expected to take, to be let in. Expectations are means: what is let in at the edge of
its time is late every second time, after it waited for all of it."""
_MEMORY_S = 10.0
"""How long measured throughput counts: after so many seconds of work it has faded to 1/e."""
_FORGOTTEN_AFTER_S = 60.0
"""Without anything to measure."""
_MOST_RETRY_AFTER_S = 60


@dataclass(order=True, slots=True)
class _Waiting:
    start_tag: float
    number: int
    """Of arrival: ties go to the earlier one."""
    tenant: str = field(compare=False)
    cost: int = field(compare=False)
    entered: asyncio.Future[None] = field(compare=False, repr=False)


class FairGate:
    """Lets up to `capacity` pieces of work through together and `max_waiting` more wait. For one event loop.

    `time_share`: of its time that work may be expected to take; infinite where it was let in elsewhere already.
    """

    def __init__(
        self,
        capacity: int,
        max_waiting: int,
        *,
        time_share: float = ADMISSION_SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._time_share = time_share
        self._clock = clock
        self._inside = 0
        self._inside_cost = 0
        self._waiting: list[_Waiting] = []
        self._costs: Counter[str] = Counter()
        self._finish_tags: dict[str, float] = {}
        self._virtual_time = 0.0
        self._refused = False
        """Whether anything was, for the time it would take, since work last left."""
        self._arrivals = itertools.count()
        self._arrived: dict[object, float] = {}
        """When what is here came, the first one first."""
        self._throughput = _Throughput()

    @property
    def capacity(self) -> int:
        """Pieces of work inside at once. May be changed at any time; less takes effect as work leaves."""
        return self._capacity

    @capacity.setter
    def capacity(self, capacity: int) -> None:
        self._capacity = capacity
        self._let_in()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Pieces of work that were let through and have not left."""
        return self._inside

    @property
    def waiting_cost(self) -> int:
        return self._costs.total()

    @property
    def oldest_s(self) -> float:
        """How long ago the first of what waits or is inside came, seconds; 0 where there is nothing."""
        came = next(iter(self._arrived.values()), None)
        return 0.0 if came is None else self._clock() - came

    @property
    def cost_per_s(self) -> float | None:
        """What goes through the gate while there is more to do; None before that was measured, and long after."""
        return self._throughput.per_s(self._clock())

    def check(self, tenant: str, cost: int, time_left_s: float) -> None:
        """Raises `OverloadedError` when `enter` would raise it at once."""
        start_tag = self._start_tag(tenant)
        ahead = sum(other.cost for other in self._waiting if other.start_tag <= start_tag)
        per_s = self.cost_per_s
        takes_s = 0.0 if per_s is None else (self._inside_cost + ahead + cost) / per_s
        if self._inside and takes_s > self._time_share * time_left_s:
            self._refused = True
            self._throughput.resume()
            raise self._overloaded("What waits takes longer than this set may wait; try again later.", ahead)
        if not self._is_open and self._is_full and self._costs[tenant] + cost >= self._costs[self._heaviest]:
            raise self._overloaded("Too many sets wait; try again shortly.", self.waiting_cost)

    @asynccontextmanager
    async def enter(self, tenant: str, cost: int, time_left_s: float) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for the body. Raises `OverloadedError` at once when too much waits, or when, by
        the measured throughput, `time_left_s` seconds are hardly enough; and later when a full queue needs the place
        for a tenant that has less waiting.
        """
        self.check(tenant, cost, time_left_s)
        arrival = object()
        self._arrived[arrival] = self._clock()
        try:
            async with self._turn(tenant, cost):
                yield
        finally:
            del self._arrived[arrival]

    @asynccontextmanager
    async def _turn(self, tenant: str, cost: int) -> AsyncIterator[None]:
        if self._is_open:
            self._start(tenant, self._start_tag(tenant), cost)
        else:
            await self._wait(tenant, cost)
        done = 0
        try:
            yield
            done = cost
        finally:
            # What was given up or failed took its time, and got nothing done.
            self._leave(cost, done)

    @property
    def _is_open(self) -> bool:
        return self._inside < self._capacity and not self._waiting

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= self._max_waiting

    @property
    def _heaviest(self) -> str:
        """The tenant that has most waiting."""
        return max(self._costs, key=lambda tenant: self._costs[tenant])

    async def _wait(self, tenant: str, cost: int) -> None:
        if self._is_full:
            self._make_room()
        start_tag = self._start_tag(tenant)
        waiting = _Waiting(start_tag, next(self._arrivals), tenant, cost, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._costs[tenant] += cost
        self._finish_tags[tenant] = start_tag + cost
        self._let_in()
        try:
            await waiting.entered
        except BaseException:
            if waiting.entered.done() and not waiting.entered.cancelled() and waiting.entered.exception() is None:
                self._leave(cost, 0)  # let in and cancelled in the same moment
            else:
                self._forget(waiting)
            raise

    def _start_tag(self, tenant: str) -> float:
        return max(self._virtual_time, self._finish_tags.get(tenant, 0.0))

    def _start(self, tenant: str, start_tag: float, cost: int) -> None:
        self._virtual_time = max(self._virtual_time, start_tag)
        self._finish_tags[tenant] = max(self._finish_tags.get(tenant, 0.0), start_tag + cost)
        self._inside += 1
        self._inside_cost += cost
        if self._inside >= self._capacity:
            self._throughput.resume()

    def _leave(self, cost: int, done: int) -> None:
        self._throughput.note(done, self._clock())
        self._inside -= 1
        self._inside_cost -= cost
        self._let_in()
        if self._inside < self._capacity and not self._refused:
            self._throughput.pause()
        self._refused = False
        if not self._waiting and self._inside == 0:
            self._finish_tags.clear()
            self._virtual_time = 0.0

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._capacity:
            following = heapq.heappop(self._waiting)
            self._costs[following.tenant] -= following.cost
            if not following.entered.done():
                self._start(following.tenant, following.start_tag, following.cost)
                following.entered.set_result(None)

    def _make_room(self) -> None:
        """A full queue belongs to those who have the least in it: the last one of who has most goes."""
        heaviest = self._heaviest
        last = max(waiting for waiting in self._waiting if waiting.tenant == heaviest)
        self._forget(last)
        last.entered.set_exception(self._overloaded("Others wait with less; try again shortly.", self._costs[heaviest]))

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            heapq.heapify(self._waiting)
            self._costs[waiting.tenant] -= waiting.cost

    def _overloaded(self, detail: str, cost: int) -> OverloadedError:
        """With the time that `cost` takes as advice when to come again."""
        per_s = self.cost_per_s
        retry_after_s = 1 if per_s is None else min(max(1, math.ceil(cost / per_s)), _MOST_RETRY_AFTER_S)
        return OverloadedError(detail, retry_after_s=retry_after_s)


class _Throughput:
    """Cost per second between those who leave a gate while there is more to do than goes through it."""

    def __init__(self) -> None:
        self._cost = 0.0
        self._seconds = 0.0
        self._loaded = False
        self._left_at: float | None = None
        self._measured_at = -math.inf

    def per_s(self, now: float) -> float | None:
        if now - self._measured_at > _FORGOTTEN_AFTER_S:
            return None
        return self._cost / self._seconds if self._cost and self._seconds else None

    def resume(self) -> None:
        self._loaded = True

    def pause(self) -> None:
        self._loaded, self._left_at = False, None

    def note(self, cost: int, now: float) -> None:
        """Something left. The first one under load only starts the clock: how long it took is no throughput."""
        if not self._loaded:
            return
        if self._left_at is not None:
            elapsed = now - self._left_at
            kept = math.exp(-elapsed / _MEMORY_S)
            self._cost = self._cost * kept + cost
            self._seconds = self._seconds * kept + elapsed
            self._measured_at = now
        self._left_at = now
