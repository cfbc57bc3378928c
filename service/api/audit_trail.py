"""Audit lines of requests: who, from where, under which request id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import Request

from service.access.callers import Caller
from service.api.client_address import Network, client_address
from service.observability.audit import AuditLog, Event
from service.observability.request_context import request_id_of


class AuditTrail:
    """Of one API process."""

    def __init__(self, log: AuditLog, trusted_proxies: Sequence[Network] = ()) -> None:
        """`trusted_proxies`: whose word on the client's address counts."""
        self._log = log
        self._trusted_proxies = trusted_proxies

    def note(self, request: Request, caller: Caller, event: Event, *entries: Mapping[str, object]) -> None:
        """A line for each of the entries. Raises `AuditUnavailableError`: what cannot be accounted for is not
        answered."""
        who = {
            "event": event.value,
            "tenant": caller.tenant,
            "key": caller.key_id,
            "client": client_address(request.scope, self._trusted_proxies),
            "request_id": request_id_of(request.scope),
        }
        self._log.write({**who, **entry} for entry in entries)
