from __future__ import annotations

import pytest

from service.api.allowed_hosts import AllowedHosts


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("port", ["", ":8000"])
def test_on_loopback_the_names_of_this_machine_are_accepted(listening_on: str, port: str) -> None:
    hosts = AllowedHosts(listening_on)
    assert all(hosts.accept(f"{name}{port}") for name in ("localhost", "LocalHost", "127.0.0.1", "[::1]"))
    assert not any(
        hosts.accept(f"{name}{port}")
        for name in (
            "rebound.example",
            "localhost.rebound.example",
            "127.0.0.1.nip.example",
            "192.168.0.1",
            "[::2]",
            "",
        )
    )


def test_another_loopback_address_is_accepted_where_it_is_listened_on() -> None:
    assert AllowedHosts("127.0.0.2").accept("127.0.0.2:8000")
    assert not AllowedHosts("127.0.0.1").accept("127.0.0.2:8000")


@pytest.mark.parametrize("listening_on", ["0.0.0.0", "::", "192.0.2.1", "api.example", None])  # noqa: S104
def test_elsewhere_any_name_is_accepted(listening_on: str | None) -> None:
    assert AllowedHosts(listening_on).accept("whatever.example:80")


@pytest.mark.parametrize("listening_on", ["0.0.0.0", "127.0.0.1"])  # noqa: S104
def test_a_list_goes_before_the_default(listening_on: str) -> None:
    hosts = AllowedHosts(listening_on, ("API.example.org", "[2001:db8::1]"))
    assert hosts.accept("api.example.ORG:443")
    assert hosts.accept("[2001:db8::1]")
    assert hosts.accept("[2001:db8::1]:443")
    assert not hosts.accept("localhost")
    assert not hosts.accept("example.org")


def test_a_star_is_any_name() -> None:
    assert AllowedHosts("127.0.0.1", ("*",)).accept("whatever.example")
