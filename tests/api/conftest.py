from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import structlog

from service.settings import Limits
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import png
from tests.servers import RunningServer, ServerKind

LIMITS = Limits(max_samples=4, max_sample_bytes=20_000, max_request_bytes=100_000, request_timeout_s=5.0)
_serial = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """The servers of this folder log from threads of their own, past pytest's capture."""

    def drop(_logger: object, _method: str, _event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])


@pytest.fixture(scope="session")
def _shared_api(_shared_servers: Callable[[ServerKind], RunningServer]) -> Iterator[RunningApi]:
    with RunningApi(_shared_servers(ServerKind.VALKEY).url, LIMITS) as api:
        yield api


@pytest.fixture
def api(_shared_api: RunningApi) -> RunningApi:
    """One application for all tests of this folder; its engine starts each test healthy."""
    _shared_api.engine.failure = _shared_api.engine.too_busy = None
    _shared_api.engine.faceless.clear()
    _shared_api.engine.groups_faces = True
    _shared_api.engine.foreign.clear()
    _shared_api.engine.requests.clear()
    return _shared_api


@pytest.fixture
def fresh_png() -> Callable[[], bytes]:
    """Bytes that look like a PNG and that nobody has sent before."""
    return lambda: png(content=b"content %d" % next(_serial))
