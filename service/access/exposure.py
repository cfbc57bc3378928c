"""Where the API may listen: without keys, only where nobody else can reach it."""

from __future__ import annotations

import ipaddress

from service.errors import SetupError
from service.settings import AuthMode, Settings


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: Settings) -> None:
    """Raises `SetupError` where anybody could use the service."""
    if settings.auth is AuthMode.LOOPBACK and not is_loopback(settings.host):
        raise SetupError(
            f"Without API keys the API listens on loopback addresses only, and {settings.host} is none. Set "
            "COREFACE_AUTH=keys and make a key with `coreface keys create`; or COREFACE_AUTH=gateway, if something in "
            "front of it lets only its own in."
        )
