"""Where simulated work waits and is done: servers with a queue, cores that are shared, doors with a limit."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

from service.capacity.simulation import Event, Simulation


class Station:
    """One server, first come, first served: an event loop, a queue server's thread, one direction of a network link."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._free_at = 0.0
        self.busy_s = 0.0
        """Of all that was ever taken."""

    def serve(self, seconds: float) -> Event:
        """Happens when `seconds` of work are done, after all that came before."""
        now = self._simulation.now
        self._free_at = max(now, self._free_at) + seconds
        self.busy_s += seconds
        return self._simulation.pause(self._free_at - now)


class Cores:
    """Shared evenly by whatever runs: everybody at full speed while there is a core for each, slower beyond.

    Kept by virtual time: the work that everybody has got so far, which is the same for all who run.
    """

    def __init__(self, simulation: Simulation, cores: float = math.inf) -> None:
        self._simulation = simulation
        self._cores = cores
        self._running: list[tuple[float, int, Event]] = []
        """By the virtual time at which they are done."""
        self._number = itertools.count()
        self._virtual = 0.0
        self._seen_at = 0.0
        self._plan_number = 0
        self.busy_s = 0.0
        """Core seconds of all that was ever taken."""

    def work(self, seconds: float) -> Event:
        """Happens when `seconds` of a core were given to it."""
        self.busy_s += seconds
        if math.isinf(self._cores):
            return self._simulation.pause(seconds)
        self._catch_up()
        event = Event()
        heapq.heappush(self._running, (self._virtual + seconds, next(self._number), event))
        self._look_ahead()
        return event

    @property
    def _speed(self) -> float:
        return min(1.0, self._cores / max(1, len(self._running)))

    def _catch_up(self) -> None:
        now = self._simulation.now
        self._virtual += (now - self._seen_at) * self._speed
        self._seen_at = now

    def _look_ahead(self) -> None:
        """Plan the next one to be done; an earlier plan is void."""
        self._plan_number += 1
        if self._running:
            number = self._plan_number
            delay_s = max(0.0, (self._running[0][0] - self._virtual) / self._speed)
            self._simulation.plan(delay_s, lambda: self._finish(number))

    def _finish(self, number: int) -> None:
        if number != self._plan_number:
            return
        self._catch_up()
        done_at, _, event = heapq.heappop(self._running)
        self._virtual = done_at  # rather than what rounding made of it
        self._look_ahead()
        event.happen()


class Door:
    """Lets `capacity` through at once; others wait in order, `max_waiting` at most."""

    def __init__(self, capacity: int, max_waiting: float = math.inf) -> None:
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._inside = 0
        self._waiting: deque[Event] = deque()

    @property
    def is_full(self) -> bool:
        """Nobody else may even wait."""
        return self._inside >= self._capacity and len(self._waiting) >= self._max_waiting

    def enter(self) -> Event:
        event = Event()
        if self._inside < self._capacity:
            self._inside += 1
            event.happen()
        else:
            self._waiting.append(event)
        return event

    def leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().happen()
        else:
            self._inside -= 1
