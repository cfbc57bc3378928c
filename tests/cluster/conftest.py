from __future__ import annotations

import pytest

from tests.cluster.cluster import missing_programs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters run one after the other: each is many processes."""
    missing = missing_programs()
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.xdist_group("cluster"))
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{' and '.join(missing)} not installed"))
