"""How many of each for so many sets a second, answered in so many seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from service.capacity.load import Arrival, poisson_arrivals, set_sizes, sizes_between
from service.capacity.profile import Profile
from service.capacity.site import Site, SiteSize
from service.capacity.summary import Summary, summarise

API_BUSY = 0.7
"""Most of an API process's core: where its autoscaler adds another one."""
QUEUE_BUSY = 0.6
"""Most of a queue server's thread and of its link: bursts and rewrites of its file want the rest."""
WORKER_BUSY = 0.9
"""Most of a worker: beyond, what waits grows for longer than a simulation lasts."""
_SEED = 1
_SECONDS = 20.0
_LEAST_SETS = 4_000
_MOST_SETS = 60_000
_WARM_UP = 0.25
"""Share of the sets that do not count, because the site was empty when they came."""
_PRECISION = 0.02
_TOO_MANY = 2.0
"""Where twice the workers do not help, more will not."""


@dataclass(frozen=True, slots=True)
class Demand:
    """`samples` of a set: any number from the first to the second, each as likely as the others."""

    sets_per_s: float
    samples: tuple[int, int]
    p99_s: float

    @property
    def mean_samples(self) -> float:
        return sum(self.samples) / 2


@dataclass(frozen=True, slots=True)
class Plan:
    """A site for a demand. `site` None: no number of workers answers in time."""

    demand: Demand
    site: SiteSize | None
    summary: Summary | None
    """As simulated."""
    worker_cores: float
    """Of all workers; 0 without a site."""
    bytes_per_s: float
    """Of samples, into the queue servers and out of them again."""
    store_busy: float
    """Of one store's thread, 1 and more: one is not enough."""


def plan_site(
    profile: Profile,
    demand: Demand,
    *,
    max_batch_sets: int = 16,
    batch_size: int = 32,
    split_workers: bool = False,
) -> Plan:
    """The smallest site whose simulated p99 is in time, with room left in every part."""
    size = replace(_least_site(profile, demand, max_batch_sets, batch_size), split_workers=split_workers)
    found = _search(profile, demand, size) if seconds_alone(profile, demand.samples[1]) <= demand.p99_s else None
    return Plan(
        demand=demand,
        site=found[0] if found else None,
        summary=found[1] if found else None,
        worker_cores=found[0].workers * profile.cores if found else 0.0,
        bytes_per_s=demand.sets_per_s * profile.set_bytes(demand.mean_samples),
        store_busy=demand.sets_per_s * profile.store_s,
    )


def seconds_alone(profile: Profile, samples: int) -> float:
    """Of one set in an empty site."""
    run = Site(profile, SiteSize(apis=1, workers=1, queues=1)).run([Arrival(0.0, samples)])
    return run.passages[0].seconds


def sets_per_worker(
    profile: Profile, samples: tuple[int, int], *, max_batch_sets: int = 16, batch_size: int = 32
) -> float:
    """What one worker does a second when there is always more to do."""
    clients = 4 * max_batch_sets
    size = SiteSize(clients, 1, 1, max_batch_sets, batch_size)
    run = Site(profile, size).run_closed(clients, set_sizes(20 * clients, sizes_between(*samples), _SEED))
    went = [passage.went_s for passage in run.passages]
    # Of the middle: at first batches are small, and at the end nothing follows.
    first, last = 4 * clients, 16 * clients
    return (last - first) / (went[last] - went[first])


def simulate(profile: Profile, size: SiteSize, demand: Demand) -> Summary:
    """The demand at random times, for some seconds, without the first of them."""
    count = round(min(max(demand.sets_per_s * _SECONDS, _LEAST_SETS), _MOST_SETS))
    arrivals = poisson_arrivals(demand.sets_per_s, count, sizes_between(*demand.samples), _SEED)
    run = Site(profile, size).run(arrivals)
    return summarise(run.passages, arrivals[int(_WARM_UP * count)].at_s, arrivals[-1].at_s)


def _least_site(profile: Profile, demand: Demand, max_batch_sets: int, batch_size: int) -> SiteSize:
    """So that no part is busier than it should be."""
    rate, set_bytes = demand.sets_per_s, profile.set_bytes(demand.mean_samples)
    queue_s = max(profile.queue.of(set_bytes), set_bytes / profile.link_bytes_per_s)
    worker = sets_per_worker(profile, demand.samples, max_batch_sets=max_batch_sets, batch_size=batch_size)
    queues = math.ceil(rate * queue_s / QUEUE_BUSY)
    return SiteSize(
        apis=math.ceil(rate * profile.api.of(demand.mean_samples) / API_BUSY),
        workers=max(queues, math.ceil(rate / worker / WORKER_BUSY)),
        queues=queues,
        max_batch_sets=max_batch_sets,
        batch_size=batch_size,
    )


def _search(profile: Profile, demand: Demand, least: SiteSize) -> tuple[SiteSize, Summary] | None:
    """The fewest workers, within 2 %, that are in time."""

    def attempt(workers: int) -> tuple[SiteSize, Summary]:
        size = replace(least, workers=workers)
        return size, simulate(profile, size, demand)

    def is_in_time(found: tuple[SiteSize, Summary]) -> bool:
        return found[1].refused == 0 and found[1].p99_s <= demand.p99_s

    found = attempt(least.workers)
    if is_in_time(found):
        return found
    too_few, enough = least.workers, math.ceil(_TOO_MANY * least.workers) + 1
    found = attempt(enough)
    if not is_in_time(found):
        return None
    while enough - too_few > max(1, _PRECISION * enough):
        middle = (too_few + enough) // 2
        tried = attempt(middle)
        if is_in_time(tried):
            found, enough = tried, middle
        else:
            too_few = middle
    return found
