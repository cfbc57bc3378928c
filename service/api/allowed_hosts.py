"""The names under which this service answers.

A page in a browser may make its own name mean 127.0.0.1 (DNS rebinding), and then speak with a service that listens
on loopback as if it were its own. What the page cannot change is the Host field: it holds the page's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.access.exposure import is_loopback

ANY_HOST = "*"
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class AllowedHosts:
    """Names and addresses, whatever the port."""

    def __init__(self, listening_on: str | None, listed: Sequence[str] | None = None) -> None:
        """`listed`: the operator's, with `*` for any. Without a list it depends on the listener's address: on loopback
        the names of this machine alone, else any; None: there is no listener."""
        self._names: frozenset[str] | None = None
        if listed is not None and ANY_HOST not in listed:
            self._names = frozenset(map(str.lower, listed))
        elif listed is None and listening_on is not None and is_loopback(listening_on.lower()):
            self._names = _LOCAL_HOSTS | {f"[{listening_on}]" if ":" in listening_on else listening_on.lower()}

    def accept(self, host: str) -> bool:
        """`host`: a Host field."""
        return self._names is None or _without_port(host.lower()) in self._names


def _without_port(host: str) -> str:
    # The colons inside `[::1]` do not begin a port.
    name, colon, port = host.rpartition(":")
    return name if colon and not port.endswith("]") else host
