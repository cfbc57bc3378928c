"""Who asks, when balancers stand between: X-Forwarded-For, believed as far as those are trusted who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
"""Of a client without an IP address: one in this process, or at a Unix socket."""


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address nearest to this process that is not a trusted hop's; that of the last hop if all are trusted.

    Every hop appends who it was asked by, so the header is read from its end, and what stands before the first hop
    that is not trusted may be anything that one liked to write. What is no address ends the reading too. Addresses
    are answered in their shortest form, IPv4 ones inside IPv6 as IPv4.
    """
    client = scope.get("client")
    address = None if client is None else _parse(client[0])
    if address is None:
        return UNKNOWN
    for earlier in _forwarded(scope):
        if not _is_within(address, trusted):
            break
        parsed = _parse(earlier)
        if parsed is None:
            break
        address = parsed
    return str(address)


def _forwarded(scope: Scope) -> Iterator[str]:
    """The entries of all X-Forwarded-For fields, last one first."""
    fields: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in reversed(list(fields)):
        if name == b"x-forwarded-for":
            yield from reversed(value.decode("latin-1").split(","))


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, maybe with a port as some balancers write it: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return inner or address


def _is_within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
