"""Few faults in `make test`, many in `make chaos` (`--long`), which also prints what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.cluster.cluster import missing_programs
from tests.resilience.site import Site

Measure = Callable[..., None]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = missing_programs()
    for item in items:
        if "tests/resilience/" in item.path.as_posix():
            # Those that share the site run one after the other, and beside them those with a site of their own.
            shared = "site" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("shared site" if shared else "sites"))
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{' and '.join(missing)} not installed"))
            if config.getoption("--long"):
                item.add_marker(pytest.mark.timeout(1200))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--long"):
        return
    terminalreporter.section("measured")
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name}: {value}")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture
def count(long: bool) -> Callable[[int, int], int]:
    """`count(short, long)`: how often."""
    return lambda in_short, in_long: in_long if long else in_short


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measure:
    """For the report: `measured(name=value)`."""

    def note(**values: object) -> None:
        for name, value in values.items():
            record_property(name.replace("_", " "), value)

    return note


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, default_pack_path: object) -> Iterator[Site]:
    """Two API processes, three stand-ins for workers that are told when to die, and a store that loses nothing. Every
    test leaves it whole."""
    with Site(tmp_path_factory.mktemp("site"), fsync="always") as started:
        yield started
