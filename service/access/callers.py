"""Who asks, and what they may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.errors import InsufficientScopeError
from service.types import DEFAULT_TENANT


class Scope(StrEnum):
    """What an API key allows."""

    TEMPLATES_WRITE = "templates:write"
    """Make, look at and erase templates and subjects."""
    TEMPLATES_EXPORT = "templates:export"
    """Have a template's vector answered, which whoever holds it can compare by themselves."""
    VERIFY = "verify"
    """Compare two sides."""
    VERIFY_MANY = "verify:many"
    """Compare many pairs in one request; no lock-out counts them."""
    SCORES_RAW = "scores:raw"
    """Have exact scores answered, from which a template can be rebuilt."""
    ADMIN = "admin"
    """Clear the lock of a template, and see the health of the service in detail."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf one request is done."""

    tenant: str
    key_id: str | None
    """None: no keys are asked for, and the caller has no budget."""
    scopes: frozenset[Scope]
    images_per_day: int | None = None
    """Images that may be sent a day; None: any number."""

    def require(self, scope: Scope) -> None:
        """Raises `InsufficientScopeError`."""
        if scope not in self.scopes:
            raise InsufficientScopeError(f"This API key lacks the scope `{scope.value}`.")


ANYBODY = Caller(DEFAULT_TENANT, None, frozenset(Scope))
"""Where no keys are asked for."""
