"""Which door leads where: the public port, and the operators' port where there is one.

                 health   documentation, metrics   everything else
    one port       +                 +                   +
    public         +                 -                   +
    operators'     +                 +                   -

Live and ready are answered under any name, because balancers and kubelets ask by address. Health in detail is for
operators alone, which their own port makes them and a key does elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.allowed_hosts import AllowedHosts
from service.api.problems import coreface_problem, route_not_found
from service.errors import MisdirectedRequestError

OPERATOR_PATHS = frozenset({"/docs", "/openapi.json", "/metrics"})
_PROBES = "/health/"
_HEALTH = "/health"
_BY_OPERATORS = "by_operators_door"


@dataclass(frozen=True, slots=True)
class Doors:
    """Of one API process. The defaults are those of an application without a socket."""

    host: str | None = None
    """Address that both ports listen on."""
    admin_port: int | None = None
    """The operators'."""
    allowed_hosts: Sequence[str] | None = None
    """As the operator listed them, for the public port; None: by the address."""


NO_DOORS = Doors()


class DoorsMiddleware:
    """Pure ASGI. 404 for what is behind the other door, 421 for a name that is not this service's."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._admin_port = doors.admin_port
        self._public_hosts = AllowedHosts(doors.host, doors.allowed_hosts)
        # Whoever watches asks by address, so what clients are told does not count.
        self._admin_hosts = AllowedHosts(doors.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_PROBES):
            await self._app(scope, receive, send)
            return
        is_admin = self._admin_port is not None and _own_port(scope) == self._admin_port
        hosts = self._admin_hosts if is_admin else self._public_hosts
        if not hosts.accept(Headers(scope=scope).get("host", "")):
            error = MisdirectedRequestError("This service has other names; its operator sets COREFACE_ALLOWED_HOSTS.")
            await coreface_problem(scope, error)(scope, receive, send)
        elif self._is_behind_the_other(scope["path"], is_admin=is_admin):
            await route_not_found(scope)(scope, receive, send)
        else:
            scope.setdefault("state", {})[_BY_OPERATORS] = is_admin
            await self._app(scope, receive, send)

    def _is_behind_the_other(self, path: str, *, is_admin: bool) -> bool:
        if self._admin_port is None or path == _HEALTH:
            return False
        return (path in OPERATOR_PATHS) != is_admin


def came_by_operators_door(scope: Scope) -> bool:
    """Whether the request came over the operators' port, which there may be none of."""
    by_operators: bool = scope.get("state", {}).get(_BY_OPERATORS, False)
    return by_operators


def _own_port(scope: Scope) -> int | None:
    """Of this process, where the connection was made to."""
    server = scope.get("server")
    return None if server is None else server[1]
