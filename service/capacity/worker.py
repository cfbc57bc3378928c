"""A simulated worker: takes from the queues as `service.engine.consumer` does, and computes as `service.engine.local`
and `service.pipeline.set_processing` do: the same limits, the same order of stages, the same way to make batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.capacity.profile import Cost, Profile
from service.capacity.queue_server import Job, QueueServer
from service.capacity.simulation import Event, Process, Simulation, all_of
from service.capacity.stations import Cores, Door
from service.pipeline.batch_limits import limits_on_cpu, limits_on_gpu, share_out

SETS_PER_BATCH = 32


@dataclass(frozen=True, slots=True)
class _Task:
    cost: int
    """Towards the limit of a batch."""
    pictures: int
    done: Event


class _Stage:
    def __init__(self, cost: Cost, most: int) -> None:
        self.cost = cost
        self.most = most
        self.tasks: deque[_Task] = deque()

    def take(self) -> list[_Task]:
        """The oldest first, up to one batch."""
        batch: list[_Task] = []
        cost = 0
        while self.tasks and (not batch or cost + self.tasks[0].cost <= self.most):
            batch.append(self.tasks.popleft())
            cost += batch[-1].cost
        return batch


class StageThreads:
    """Threads that take whatever waits, last stage first, as `service.pipeline.stages.StageRunner` has them."""

    def __init__(self, cores: Cores, stages: Sequence[tuple[Cost, int]], threads: int) -> None:
        """`stages`: what a batch costs by picture, and the most of one batch; the last one goes first."""
        self._cores = cores
        self._stages = [_Stage(cost, most) for cost, most in stages]
        self._idle = threads
        self.busy_s = 0.0

    def submit(self, stage: int, pictures: int, cost: int = 1) -> Event:
        done = Event()
        self._stages[stage].tasks.append(_Task(cost, pictures, done))
        if self._idle:
            self._idle -= 1
            self._go_on()
        return done

    def _go_on(self) -> None:
        """One thread takes its next batch, or rests."""
        for stage in reversed(self._stages):
            if batch := stage.take():
                seconds = stage.cost.of(sum(task.pictures for task in batch))
                self.busy_s += seconds
                self._cores.work(seconds).then(lambda _event: self._finish(batch))
                return
        self._idle += 1

    def _finish(self, batch: Sequence[_Task]) -> None:
        # The thread does not wait for what the event loop makes of its answers.
        self._go_on()
        for task in batch:
            task.done.happen()


class Worker:
    """`max_batch_sets` sets between its stages, and as many more at hand."""

    def __init__(self, simulation: Simulation, profile: Profile, *, max_batch_sets: int, batch_size: int) -> None:
        self._simulation = simulation
        self._profile = profile
        self._batches = (
            limits_on_gpu(batch_size) if profile.on_gpu else limits_on_cpu(batch_size, profile.device_threads)
        )
        self.slots = 2 * max_batch_sets
        self._cores = Cores(simulation, profile.cores)
        costs = profile.stages
        self.device = StageThreads(
            Cores(simulation, math.inf) if profile.on_gpu else self._cores,
            [
                (costs["detect"], self._batches.images),
                (costs["embed"], self._batches.faces),
                (costs["aggregate"], SETS_PER_BATCH),
            ],
            threads=self._batches.parallel,
        )
        self.decoders = StageThreads(
            self._cores, [(costs["decode"], 1), (costs["align"], 1)], threads=profile.decode_threads
        )
        half = Cost(profile.worker.base_s / 2, profile.worker.per_item_s / 2)
        self._loop = StageThreads(self._cores, [(half, 1)], threads=1)
        """Of events: once before a set's stages and once after them."""
        self._door = Door(max_batch_sets)

    def serve(self, queue: QueueServer, slots: int) -> None:
        """From now on, as many of its sets at once."""
        self._simulation.start(self._take_from(queue, slots))

    def _take_from(self, queue: QueueServer, slots: int) -> Process:
        held = 0
        room = Event()

        def finished(_event: Event) -> None:
            nonlocal held
            held -= 1
            if not room.happened:
                room.happen()

        while True:
            if held >= slots:
                room = Event()
                yield room
                continue
            jobs: list[Job] = yield queue.read(slots - held)
            held += len(jobs)
            yield queue.carry(jobs)
            for job in jobs:
                job.answered.then(finished)
                self._simulation.start(self._handle(job, queue))

    def _handle(self, job: Job, queue: QueueServer) -> Process:
        yield self._loop.submit(0, job.samples)
        yield self._door.enter()
        yield from self._process(job.samples)
        self._door.leave()
        yield self._loop.submit(0, job.samples)
        yield queue.answer()
        job.answered.happen()

    def _process(self, samples: int) -> Process:
        yield all_of([self.decoders.submit(0, 1) for _ in range(samples)])
        yield all_of(self._submit_shares(0, samples, self._batches.images))
        yield self.decoders.submit(1, samples)
        yield all_of(self._submit_shares(1, samples, self._batches.faces))
        yield self.device.submit(2, samples)

    def _submit_shares(self, stage: int, samples: int, most: int) -> list[Event]:
        shares = share_out(range(samples), most, self._batches.parallel)
        return [self.device.submit(stage, len(share), len(share)) for share in shares]
