"""Processes neither grow nor collect descriptors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.cluster.members import Member
from tests.resilience.clients import CanaryClients
from tests.resilience.conftest import Measure
from tests.resilience.site import Site, until

COMPARED = 7
"""Comparisons for each set: most of what a service does."""
MOST_GROWTH_MIB = 10.0
SENDERS = 12
"""So many requests at once, and as many connections to the store may be kept in a pool: some only at the second time.
What is not closed for one request in a hundred comes to more."""


def test_memory_and_descriptors_stay(site: Site, count: Callable[[int, int], int], measured: Measure) -> None:
    members = [*site.apis, *site.workers]
    _work(site, count(500, 10_000))
    before = {member.name: (_resident_mib(member), _descriptors(member)) for member in members}
    requests = _work(site, count(2_000, 100_000))
    grown = {
        member.name: (_resident_mib(member) - before[member.name][0], _descriptors(member) - before[member.name][1])
        for member in members
    }
    measured(
        requests=requests,
        **{
            name: f"{mib:+.1f} MiB of {before[name][0]:.0f}, {files:+d} descriptors"
            for name, (mib, files) in grown.items()
        },
    )
    for name, (mib, files) in grown.items():
        assert mib <= MOST_GROWTH_MIB, name
        assert files <= SENDERS, name


def _work(site: Site, requests: int) -> int:
    with CanaryClients(site.url, senders=SENDERS, retry=False, compared=COMPARED) as clients:
        clients.wait_for(requests, timeout_s=1000.0)
    assert clients.failures == []
    return len(clients.outcomes) + clients.comparisons


def _resident_mib(member: Member) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{member.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _descriptors(member: Member) -> int:
    """Those that stay, once the last request's are closed."""
    counts: list[int] = []

    def settled() -> bool:
        counts.append(len(list(Path(f"/proc/{member.pid}/fd").iterdir())))
        return len(counts) > 100 and len(set(counts[-100:])) == 1

    until(settled)
    return counts[-1]
