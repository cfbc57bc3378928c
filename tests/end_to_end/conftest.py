from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.running_service import RunningService, free_port


@pytest.fixture(scope="session")
def running_service(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Iterator[RunningService]:
    """One whole service for all tests that only talk to it."""
    settings = {"COREFACE_WORKER_PORT": str(free_port())}
    with RunningService(tmp_path_factory.mktemp("state"), default_pack_path, settings) as service:
        yield service


@pytest.fixture(scope="session")
def client(running_service: RunningService) -> Iterator[httpx.Client]:
    with running_service.client() as client:
        yield client
