"""Workers that are killed in the middle of their work: nothing is lost, made twice or mixed up."""

from __future__ import annotations

from collections.abc import Callable

from service.store import keys
from tests.resilience.clients import CanaryClients, Outcome
from tests.resilience.conftest import Measure
from tests.resilience.faulty_worker import FaultPoint
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site, jobs_with_workers, until

LOAD = 0.6
"""Of what the workers can do."""


def test_kills_at_every_point_of_a_job_lose_duplicate_and_swap_nothing(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    kept_before = site.templates()
    kills = 0
    with (
        site.store_admin() as admin,
        CanaryClients(site.url, senders=24, per_second=LOAD * site.sets_per_s) as clients,
    ):
        clients.wait_for(50)
        for _ in range(count(1, 20)):
            for point in FaultPoint:
                site.faults.arm(point)
                until(lambda: [worker for worker in site.workers if not worker.running])
                # The rule is that a set which ends two workers is refused: the next death is to be another set's.
                interrupted = jobs_with_workers(admin)
                kills += len(site.revive_workers())
                until(lambda interrupted=interrupted: not interrupted & jobs_with_workers(admin))  # type: ignore[misc]
        site.wait_until_workers_are_ready()
        clients.wait_for(50)
    sets = clients.outcomes
    measured(
        kills=kills,
        sets=len(sets),
        failed=len(clients.failures),
        sent_again=dict(clients.hiccups),
        answered_within_ms=quantiles_ms([outcome.seconds for outcome in sets]),
    )
    assert clients.failures == []
    assert site.templates() - kept_before == len(sets)
    assert len({outcome.template_id for outcome in sets}) == len(sets)
    assert site.absent([outcome.template_id or "" for outcome in sets]) == []
    with site.store_admin() as admin:
        until(lambda: not jobs_with_workers(admin))
        assert admin.keys(keys.quarantine_key("*", "*")) == []
    _assert_known(site, sets[:: max(1, len(sets) // 100)])


def _assert_known(site: Site, outcomes: list[Outcome]) -> None:
    with site.client() as client:
        for outcome in outcomes:
            headers = {"content-type": "application/json"}
            again = client.post("/v1/templates", content=outcome.canary.body(), headers=headers).json()
            assert (again["cached"], again["template_id"]) == (True, outcome.template_id)
