from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.api.conftest import LIMITS, _quiet  # noqa: F401 (fixtures)
from tests.api.running_api import RunningApi
from tests.servers import RunningServer, ServerKind


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/fuzzing/" in item.path.as_posix() and config.getoption("--long"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def shared_valkey(_shared_servers: Callable[[ServerKind], RunningServer]) -> str:
    return _shared_servers(ServerKind.VALKEY).url


@pytest.fixture(scope="session")
def api(shared_valkey: str) -> Iterator[RunningApi]:
    """One application for all tests of this folder."""
    with RunningApi(shared_valkey, LIMITS) as api:
        yield api
