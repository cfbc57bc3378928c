"""A simulated site against what can be worked out by hand."""

from __future__ import annotations

import itertools
import random
import statistics
from dataclasses import replace

import pytest

from service.capacity.load import Arrival, poisson_arrivals, set_sizes, sizes_between
from service.capacity.profile import Cost
from service.capacity.site import Site, SiteRun, SiteSize
from service.capacity.summary import Passage, summarise
from tests.capacity.profiles import profile

ONE_OF_EACH = SiteSize(apis=1, workers=1, queues=1)
DEVICE_ONLY = {"embed": Cost(0.0, 0.1)}


def middle_rate(run: SiteRun) -> float:
    """Sets a second, without beginning and end."""
    went = [passage.went_s for passage in run.passages]
    first, last = len(went) // 4, 3 * len(went) // 4
    return (last - first) / (went[last] - went[first])


def test_one_set_alone_takes_the_sum_of_its_parts() -> None:
    costs = profile(
        {
            "decode": Cost(0.0, 1.0),
            "align": Cost(0.5, 0.25),
            "detect": Cost(2.0, 0.5),
            "embed": Cost(1.0, 0.5),
            "aggregate": Cost(3.0, 0.0),
        },
        decode_threads=2,
        worker=Cost(0.25, 0.0),
        api=Cost(0.5, 0.0),
        queue=Cost(0.125, 0.001),
        sample_bytes=100,
    )
    (passage,) = Site(costs, ONE_OF_EACH).run([Arrival(1.0, 4)]).passages
    # Four pictures by two threads, then stage by stage.
    stages = 2.0 + (2.0 + 4 * 0.5) + (0.5 + 4 * 0.25) + (1.0 + 4 * 0.5) + 3.0
    assert passage.seconds == pytest.approx(stages + 0.25 + 0.5 + 0.125 + 0.4)


def test_more_faces_than_a_batch_holds_go_in_turns() -> None:
    costs = profile({"embed": Cost(1.0, 0.0)})
    (passage,) = Site(costs, ONE_OF_EACH).run([Arrival(0.0, 10)]).passages
    assert passage.seconds == pytest.approx(3.0)
    (passage,) = Site(replace(costs, on_gpu=True), ONE_OF_EACH).run([Arrival(0.0, 70)]).passages
    assert passage.seconds == pytest.approx(3.0)


def test_a_set_is_shared_out_over_the_threads_of_the_device() -> None:
    costs = profile({"detect": Cost(1.0, 0.5)}, device_threads=2, cores=2)
    (passage,) = Site(costs, ONE_OF_EACH).run([Arrival(0.0, 6)]).passages
    assert passage.seconds == pytest.approx(1.0 + 3 * 0.5)


def test_saturation_of_a_pipeline_is_its_slowest_part_with_full_batches() -> None:
    # Detect: 30 pictures of 3 sets at once.
    costs = profile({"decode": Cost(0.0, 0.01), "detect": Cost(0.3, 0.01)}, decode_threads=4, on_gpu=True)
    run = Site(costs, ONE_OF_EACH).run_closed(64, [10] * 2_000)
    assert middle_rate(run) == pytest.approx(3 / (0.3 + 30 * 0.01), rel=0.01)
    costs = profile({"decode": Cost(0.0, 0.1), "detect": Cost(0.0, 0.001)}, decode_threads=4)
    run = Site(costs, ONE_OF_EACH).run_closed(64, [10] * 2_000)
    assert middle_rate(run) == pytest.approx(4 / 1.0, rel=0.01)


def test_stages_that_share_one_core_add_up() -> None:
    costs = profile({"decode": Cost(0.0, 0.01), "embed": Cost(0.0, 0.02)}, cores=1, worker=Cost(0.1, 0.0))
    run = Site(costs, ONE_OF_EACH).run_closed(64, [10] * 1_000)
    assert middle_rate(run) == pytest.approx(1 / (0.1 + 0.2 + 0.1), rel=0.01)


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_busy_share_of_the_workers_is_load_over_capacity(workers: int) -> None:
    arrivals = poisson_arrivals(0.6 * workers, 6_000, sizes_between(10, 10), seed=3)
    run = Site(profile(DEVICE_ONLY), SiteSize(1, workers, 1)).run(arrivals)
    offered = len(arrivals) / run.duration_s
    assert run.device_busy == pytest.approx(offered / workers, rel=1e-9)
    assert run.device_busy == pytest.approx(0.6, rel=0.03)


def test_littles_law() -> None:
    run = Site(profile(DEVICE_ONLY), SiteSize(2, 2, 2)).run_closed(24, set_sizes(4_000, sizes_between(5, 15), seed=1))
    steady = run.passages[1_000:3_000]
    rate = len(steady) / (steady[-1].went_s - steady[0].went_s)
    assert rate * statistics.fmean(passage.seconds for passage in steady) == pytest.approx(24, rel=0.02)


def test_api_and_queue_can_be_what_limits() -> None:
    run = Site(profile(api=Cost(0.1, 0.0)), SiteSize(3, 1, 1)).run_closed(64, [1] * 1_000)
    assert 1_000 / run.duration_s == pytest.approx(30, rel=0.01)
    assert run.api_busy == pytest.approx(1.0, rel=0.01)
    run = Site(profile(queue=Cost(0.1, 0.0)), SiteSize(8, 4, 2)).run_closed(64, [1] * 1_000)
    assert 1_000 / run.duration_s == pytest.approx(20, rel=0.01)
    # 100 bytes in each direction of a link of 1,000 a second.
    costs = profile(sample_bytes=100, link_bytes_per_s=1_000)
    assert 1_000 / Site(costs, ONE_OF_EACH).run_closed(64, [1] * 1_000).duration_s == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("split", [False, True])
def test_several_queue_servers_lose_nothing_and_keep_every_worker_at_work(split: bool) -> None:
    size = SiteSize(1, 16, 4, split_workers=split)
    run = Site(profile(DEVICE_ONLY), size).run_closed(400, [10] * 2_000)
    assert len(run.passages) == 2_000
    assert middle_rate(run) == pytest.approx(16.0, rel=0.05)


def test_workers_that_take_from_one_queue_server_each_are_handed_evener_shares() -> None:
    arrivals = poisson_arrivals(0.7 * 16, 3_000, sizes_between(10, 10), seed=3)

    def p99_s(queues: int, *, split: bool) -> float:
        run = Site(profile(DEVICE_ONLY), SiteSize(1, 16, queues, 4, split_workers=split)).run(arrivals)
        return summarise(run.passages, 20.0, arrivals[-1].at_s).p99_s

    assert p99_s(1, split=False) == p99_s(1, split=True)
    assert p99_s(4, split=True) < 1.2 * p99_s(1, split=False)
    assert p99_s(4, split=False) > 2 * p99_s(4, split=True)


def test_what_finds_no_place_to_wait_is_refused() -> None:
    size = SiteSize(1, 1, 1, max_batch_sets=1, max_waiting_sets=3)
    run = Site(profile(DEVICE_ONLY), size).run([Arrival(0.0, 1) for _ in range(10)])
    # A window of two places for each of the worker's two, and three that wait.
    assert sum(passage.refused for passage in run.passages) == 10 - 4 - 3


def test_the_same_seed_is_the_same_run() -> None:
    def passages(seed: int) -> tuple[Passage, ...]:
        arrivals = poisson_arrivals(5.0, 500, sizes_between(1, 20), seed)
        return Site(profile(DEVICE_ONLY, cores=2), SiteSize(2, 3, 2)).run(arrivals).passages

    assert passages(1) == passages(1)
    assert passages(1) != passages(2)


def test_a_poisson_load_has_its_rate_and_its_sizes() -> None:
    arrivals = poisson_arrivals(50.0, 20_000, sizes_between(2, 6), seed=1)
    assert len(arrivals) / arrivals[-1].at_s == pytest.approx(50.0, rel=0.03)
    assert {arrival.samples for arrival in arrivals} == {2, 3, 4, 5, 6}
    gaps = [later.at_s - earlier.at_s for earlier, later in itertools.pairwise(arrivals)]
    assert statistics.pstdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.03)


def test_a_summary_counts_what_went_within_its_span() -> None:
    passages = [Passage(float(second), second + 0.1 * second, 1) for second in range(11)]
    passages.append(Passage(5.0, 5.0, 1, refused=True))
    random.Random(1).shuffle(passages)
    summary = summarise(passages, 0.0, 11.0)
    assert summary.sets_per_s == pytest.approx(10 / 11)
    assert (summary.p50_s, summary.refused) == (pytest.approx(0.45), 1)
    assert summary.p99_s == pytest.approx(0.9 - 0.09 * 0.1)
