"""API processes that are killed and replaced behind the balancer."""

from __future__ import annotations

from collections.abc import Callable

from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.figures import quantiles_ms
from tests.resilience.site import Site


def test_killed_replicas_fail_no_request_of_clients_that_send_again(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    kept_before = site.templates()
    kills = count(2, 20)
    with CanaryClients(site.url, senders=16, per_second=0.5 * site.sets_per_s, compared=1) as clients:
        clients.wait_for(50)
        for number in range(kills):
            victim = number % len(site.apis)
            site.apis[victim].kill()
            site.wait_until_balanced(victim)
            clients.wait_for(30)
            site.apis[victim].start()
            site.wait_until_balanced()
            clients.wait_for(30)
    measured(
        kills=kills,
        requests=len(clients.outcomes) + clients.comparisons,
        failed=len(clients.failures),
        sent_again=dict(clients.hiccups),
        answered_within_ms=quantiles_ms([outcome.seconds for outcome in clients.outcomes]),
    )
    assert clients.failures == []
    assert clients.hiccups, "no kill met a request"
    # A request that had made its template when its process was killed found it when it was sent again.
    assert site.templates() - kept_before == len({outcome.template_id for outcome in clients.outcomes})
    assert len({outcome.template_id for outcome in clients.outcomes}) == len(clients.outcomes)


def test_replicas_that_are_told_to_stop_fail_no_request_at_all(
    site: Site, count: Callable[[int, int], int], measured: Measure
) -> None:
    stops = count(1, 50)
    with CanaryClients(site.url, senders=16, per_second=0.5 * site.sets_per_s, retry=False, compared=1) as clients:
        clients.wait_for(50)
        for number in range(stops):
            site.apis[number % len(site.apis)].restart()
            site.wait_until_balanced()
        clients.wait_for(50)
    measured(
        stops=stops,
        requests=len(clients.outcomes) + clients.comparisons,
        failed=len(clients.failures),
        answered_within_ms=quantiles_ms([outcome.seconds for outcome in clients.outcomes]),
    )
    assert clients.failures == []
