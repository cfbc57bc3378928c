"""A simulated site: balancer, API processes, queue servers, workers, and the sets that pass through."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from service.capacity.load import Arrival
from service.capacity.profile import Profile
from service.capacity.queue_server import Job, QueueServer
from service.capacity.simulation import Process, Simulation
from service.capacity.stations import Door, Station
from service.capacity.summary import Passage
from service.capacity.worker import Worker

_SETS_PER_SLOT = 2
"""As `service.engine.remote` has it."""


@dataclass(frozen=True, slots=True)
class SiteSize:
    """How many of each, and the settings that matter."""

    apis: int
    workers: int
    queues: int
    max_batch_sets: int = 16
    batch_size: int = 32
    max_waiting_sets: int = 256
    split_workers: bool = False
    """Each worker takes from one queue server, and not from all; there are as many workers as servers, or more."""


@dataclass(frozen=True, slots=True)
class SiteRun:
    """What became of a load. Busy shares are of the whole run, 0..1, of an average member."""

    passages: tuple[Passage, ...]
    """In the order in which they went."""
    duration_s: float
    api_busy: float
    queue_busy: float
    device_busy: float


class _Api:
    def __init__(self, simulation: Simulation, door: Door) -> None:
        self.loop = Station(simulation)
        self.door = door
        self.open = 0
        """Requests that it has."""


class Site:
    """For one run."""

    def __init__(self, profile: Profile, size: SiteSize) -> None:
        self._simulation = Simulation()
        self._profile = profile
        self._queues = [QueueServer(self._simulation, profile) for _ in range(size.queues)]
        self._workers = [
            Worker(self._simulation, profile, max_batch_sets=size.max_batch_sets, batch_size=size.batch_size)
            for _ in range(size.workers)
        ]
        window = _SETS_PER_SLOT * sum(worker.slots for worker in self._workers)
        self._apis = [_Api(self._simulation, Door(window, size.max_waiting_sets)) for _ in range(size.apis)]
        self._open(size)
        self._passages: list[Passage] = []

    def run(self, arrivals: Sequence[Arrival]) -> SiteRun:
        """Sets that come when they come, until the last one has gone."""
        for arrival in arrivals:
            self._simulation.plan(arrival.at_s, partial(self._start, arrival.samples))
        return self._finish()

    def run_closed(self, clients: int, sizes: Sequence[int]) -> SiteRun:
        """`clients` that send a set each, and the next one when the last one is answered, until all have gone."""
        remaining = iter(sizes)
        for _ in range(clients):
            self._simulation.start(self._send(remaining))
        return self._finish()

    def _open(self, size: SiteSize) -> None:
        """Every queue server meets its readers in another order: at a real one they came at different times."""
        order = random.Random(0)  # noqa: S311 (no secret depends on it)  # nosec B311
        for number, queue in enumerate(self._queues):
            readers = self._workers[number :: size.queues] if size.split_workers else list(self._workers)
            shares = 1 if size.split_workers else size.queues
            order.shuffle(readers)
            for worker in readers:
                worker.serve(queue, max(1, worker.slots // shares))

    def _start(self, samples: int) -> None:
        self._simulation.start(self._pass(samples))

    def _send(self, remaining: Iterator[int]) -> Process:
        for samples in remaining:
            yield from self._pass(samples)

    def _pass(self, samples: int) -> Process:
        """A set's way through the site."""
        came_s = self._simulation.now
        api = min(self._apis, key=lambda api: api.open)
        api.open += 1
        api_s = self._profile.api.of(samples)
        yield api.loop.serve(api_s / 2)
        refused = api.door.is_full
        if not refused:
            yield api.door.enter()
            yield from self._ask_worker(samples)
            api.door.leave()
            yield api.loop.serve(api_s / 2)
        api.open -= 1
        self._passages.append(Passage(came_s, self._simulation.now, samples, refused))

    def _ask_worker(self, samples: int) -> Process:
        queue = min(self._queues, key=lambda queue: queue.in_flight)
        queue.in_flight += samples
        job = Job(samples, self._profile.set_bytes(samples))
        yield queue.add(job)
        yield job.answered
        yield queue.answer()
        queue.in_flight -= samples

    def _finish(self) -> SiteRun:
        self._simulation.run()
        duration_s = max(self._simulation.now, 1e-9)

        def share(seconds: Sequence[float]) -> float:
            return sum(seconds) / len(seconds) / duration_s

        return SiteRun(
            tuple(self._passages),
            duration_s,
            api_busy=share([api.loop.busy_s for api in self._apis]),
            queue_busy=share([queue.thread.busy_s for queue in self._queues]),
            device_busy=share([worker.device.busy_s for worker in self._workers]),
        )
