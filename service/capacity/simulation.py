"""A small discrete-event kernel: a clock, what is to happen, and processes that wait for it.

A process is a generator that yields the `Event` it waits for:

    def customer(simulation: Simulation, till: Station) -> Process:
        yield simulation.pause(3.0)
        yield till.serve(1.5)

Of what happens at the same time, what was planned first comes first: two runs with the same seed are the same run.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from typing import Any, TypeAlias


class Event:
    """Happens once, at most."""

    __slots__ = ("_then", "happened", "value")

    def __init__(self) -> None:
        self.happened = False
        self.value: Any = None
        """What a process that waited for it is told."""
        self._then: list[Callable[[Event], None]] = []

    def happen(self, value: Any = None) -> None:
        self.happened, self.value = True, value
        for action in self._then:
            action(self)

    def then(self, action: Callable[[Event], None]) -> None:
        """Do it when this happens; at once, if it has."""
        if self.happened:
            action(self)
        else:
            self._then.append(action)


Process: TypeAlias = Generator[Event, Any, None]


class Simulation:
    """Time in seconds, from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def plan(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + delay_s, next(self._number), action))

    def pause(self, seconds: float) -> Event:
        """Happens so many seconds from now."""
        event = Event()
        self.plan(seconds, event.happen)
        return event

    def start(self, process: Process) -> None:
        """Let it run until it ends or waits."""
        self._resume(process, None)

    def run(self) -> None:
        """Until nothing is to happen any more."""
        while self._agenda:
            self.now, _, action = heapq.heappop(self._agenda)
            action()

    def _resume(self, process: Process, value: Any) -> None:
        # A loop, not a recursion: a process may wait for many things that have happened already.
        try:
            event = process.send(value)
            while event.happened:
                event = process.send(event.value)
        except StopIteration:
            return
        event.then(lambda happened: self._resume(process, happened.value))


def all_of(events: list[Event]) -> Event:
    """Happens when the last of them has."""
    together = Event()
    remaining = len(events)

    def one_less(_event: Event) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            together.happen()

    for event in events:
        event.then(one_less)
    if not events:
        together.happen()
    return together
