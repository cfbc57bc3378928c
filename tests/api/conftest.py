from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import structlog

from service.settings import Limits
from service.store.embedded import EmbeddedValkey
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import png

LIMITS = Limits(max_samples=4, max_sample_bytes=20_000, max_request_bytes=100_000, request_timeout_s=5.0)
_serial = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """The servers of this folder log from threads of their own, past pytest's capture."""

    def drop(_logger: object, _method: str, _event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey for the tests of this folder."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("store"))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def _shared_api(valkey_url: str) -> Iterator[RunningApi]:
    with RunningApi(valkey_url, LIMITS) as api:
        yield api


@pytest.fixture
def api(_shared_api: RunningApi) -> RunningApi:
    """One application for all tests of this folder; its engine starts each test healthy."""
    _shared_api.engine.failure = None
    _shared_api.engine.faceless.clear()
    _shared_api.engine.requests.clear()
    return _shared_api


@pytest.fixture
def fresh_png() -> Callable[[], bytes]:
    """Bytes that look like a PNG and that nobody has sent before."""
    return lambda: png(content=b"content %d" % next(_serial))
