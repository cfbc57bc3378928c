from __future__ import annotations

import dataclasses
import math

import pytest

from service.capacity.planning import (
    API_BUSY,
    QUEUE_BUSY,
    WORKER_BUSY,
    Demand,
    plan_site,
    seconds_alone,
    sets_per_worker,
    simulate,
)
from service.capacity.profile import Cost
from tests.capacity.profiles import profile

COSTS = profile(
    {"embed": Cost(0.0, 0.01)}, cores=1, api=Cost(0.007, 0.0), queue=Cost(0.0006, 1e-9), sample_bytes=10_000
)


def test_a_set_alone_and_a_worker_with_more_than_enough_to_do() -> None:
    assert seconds_alone(COSTS, 10) == pytest.approx(0.1 + 0.007 + 0.0006 + 10 * 10_000 * 1e-9)
    assert sets_per_worker(COSTS, (10, 10)) == pytest.approx(10.0, rel=0.01)


def test_no_part_is_busier_than_it_should_be() -> None:
    plan = plan_site(COSTS, Demand(190, (10, 10), p99_s=5.0))
    assert plan.site is not None
    assert plan.site.workers == math.ceil(190 / 10 / WORKER_BUSY)
    assert plan.site.apis == math.ceil(190 * 0.007 / API_BUSY)
    assert plan.site.queues == 1
    assert plan.bytes_per_s == 190 * 10 * 10_000
    ten_times = plan_site(COSTS, Demand(1_900, (10, 10), p99_s=5.0)).site
    assert ten_times is not None
    assert ten_times.queues == math.ceil(1_900 * 0.0007 / QUEUE_BUSY)


def test_workers_are_the_fewest_that_answer_in_time() -> None:
    demand = Demand(30, (10, 10), p99_s=0.15)
    plan = plan_site(COSTS, demand)
    assert plan.site is not None
    assert plan.summary is not None
    assert plan.summary.p99_s <= 0.15
    fewer = dataclasses.replace(plan.site, workers=plan.site.workers - 1)
    assert simulate(COSTS, fewer, demand).p99_s > 0.15
    patient = plan_site(COSTS, dataclasses.replace(demand, p99_s=5.0)).site
    assert patient is not None
    assert patient.workers < plan.site.workers


def test_a_link_may_be_what_asks_for_queue_servers() -> None:
    slow_link = dataclasses.replace(COSTS, link_bytes_per_s=1e7)
    plan = plan_site(slow_link, Demand(190, (10, 10), p99_s=5.0))
    assert plan.site is not None
    assert plan.site.queues == math.ceil(190 * 100_000 / 1e7 / QUEUE_BUSY)


def test_what_no_number_of_workers_can_do_has_no_plan() -> None:
    plan = plan_site(COSTS, Demand(10, (1, 10), p99_s=0.05))
    assert (plan.site, plan.summary) == (None, None)
