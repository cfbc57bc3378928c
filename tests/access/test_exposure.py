from __future__ import annotations

import pytest

from service.access.exposure import check_exposure, is_loopback
from service.errors import SetupError
from service.settings import AuthMode, Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", ""])  # noqa: S104
def test_elsewhere_only_with_keys_or_a_gateway(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SetupError, match="COREFACE_AUTH=keys"):
        check_exposure(Settings(host=host))
    for auth in (AuthMode.KEYS, AuthMode.GATEWAY):
        check_exposure(Settings(host=host, auth=auth))
