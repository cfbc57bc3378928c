"""Audit lines of requests: who, from where, under which request id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from fastapi import Request

from service.access.callers import Caller
from service.api.client_address import Network, client_address
from service.observability.audit import AuditLog
from service.observability.request_context import request_id_of


class Event(StrEnum):
    TEMPLATE_CREATED = "template.created"
    TEMPLATE_ERASED = "template.erased"
    TEMPLATE_UNLOCKED = "template.unlocked"
    VERIFICATION_DECIDED = "verification.decided"
    VERIFICATION_REFUSED = "verification.refused"
    """Delayed or locked, after failures before it."""
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"


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
        self._log.write(_lines(who, entries))


def _lines(who: Mapping[str, object], entries: Iterable[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
    return [{**who, **entry} for entry in entries]
