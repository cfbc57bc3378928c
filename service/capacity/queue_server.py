"""A simulated queue server: one thread that does every command, a link in each direction, and the job stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.capacity.profile import Profile
from service.capacity.simulation import Event, Simulation, all_of
from service.capacity.stations import Station

_COMMANDS = 4
"""A set's way: added, read, answered, and the answer read. Its bytes go in and out once each."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    samples: int
    size_bytes: float
    answered: Event = field(default_factory=Event)


class QueueServer:
    """`slots` of all workers, and what is `in_flight` here (samples), tell senders how busy it is."""

    def __init__(self, simulation: Simulation, profile: Profile) -> None:
        self._command_s = profile.queue.base_s / _COMMANDS
        self._byte_s = profile.queue.per_item_s / 2
        self._link_bytes_per_s = profile.link_bytes_per_s
        self.thread = Station(simulation)
        self.link_in = Station(simulation)
        self.link_out = Station(simulation)
        self._jobs: deque[Job] = deque()
        self._readers: deque[tuple[int, Event]] = deque()
        self.in_flight = 0

    def add(self, job: Job) -> Event:
        """Happens when the server has it."""
        self.link_in.serve(job.size_bytes / self._link_bytes_per_s)
        added = self.thread.serve(self._command_s + job.size_bytes * self._byte_s)
        added.then(lambda _event: self._append(job))
        return added

    def read(self, count: int) -> Event:
        """Happens with the next jobs, `count` at most, as soon as there is one; who waits longest gets the first."""
        reader = Event()
        self._readers.append((count, reader))
        self._hand_out()
        return reader

    def carry(self, jobs: Sequence[Job]) -> Event:
        """What was read, from the server to a worker. Each entry costs as if it were read alone."""
        size_bytes = sum(job.size_bytes for job in jobs)
        command = self.thread.serve(self._command_s * len(jobs) + size_bytes * self._byte_s)
        return all_of([command, self.link_out.serve(size_bytes / self._link_bytes_per_s)])

    def answer(self) -> Event:
        """An answer from a worker, or its reading by an API process."""
        return self.thread.serve(self._command_s)

    def _append(self, job: Job) -> None:
        self._jobs.append(job)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._jobs and self._readers:
            count, reader = self._readers.popleft()
            reader.happen([self._jobs.popleft() for _ in range(min(count, len(self._jobs)))])
