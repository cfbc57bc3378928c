"""From the `Authorization` header to a caller."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.access.api_keys import ApiKey, Pepper, Token
from service.access.callers import ANYBODY, Caller
from service.errors import StoreUnavailableError, UnauthenticatedError

FRESH_S = 5.0
"""How long a key that was looked up is taken for granted: so long a revoked one may still work."""
STALE_S = 300.0
"""The same while the store does not answer: what needs no store goes on meanwhile."""
_MOST_KEPT = 4096
_SCHEME = "bearer "


class ApiKeyStore(Protocol):
    async def get(self, key_id: str) -> ApiKey | None:
        """Raises `StoreUnavailableError`."""
        ...


class Authenticator(Protocol):
    async def authenticate(self, authorization: Sequence[str]) -> Caller:
        """`authorization`: the headers of this name. Raises `UnauthenticatedError`, `StoreUnavailableError`."""
        ...


class OpenDoor:
    """No keys: whoever reaches the service may do everything, as one tenant."""

    async def authenticate(self, authorization: Sequence[str]) -> Caller:
        return ANYBODY


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    looked_up_at: float
    """Monotonic seconds."""


class KeyAuthenticator:
    """`Authorization: Bearer cf_...`. Keys are looked up in the store, and remembered for some seconds."""

    def __init__(
        self,
        store: ApiKeyStore,
        pepper: Pepper,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def authenticate(self, authorization: Sequence[str]) -> Caller:
        token = _token(authorization)
        key = await self._look_up(token.key_id)
        now = self._clock()
        if key is None or not self._pepper.is_secret_of(token, key.secrets, now) or not key.is_live(now):
            raise UnauthenticatedError("This API key is unknown, expired or revoked.")
        return key.caller

    async def _look_up(self, key_id: str) -> ApiKey | None:
        now, known = self._monotonic(), self._known.get(key_id)
        if known is not None and now - known.looked_up_at < FRESH_S:
            return known.key
        try:
            key = await self._store.get(key_id)
        except StoreUnavailableError:
            if known is not None and now - known.looked_up_at < STALE_S:
                return known.key
            raise
        self._known.pop(key_id, None)
        if key is not None:
            self._known[key_id] = _Known(key, now)
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return key


def _token(authorization: Sequence[str]) -> Token:
    if len(authorization) == 1 and authorization[0][: len(_SCHEME)].lower() == _SCHEME:
        token = Token.parse(authorization[0][len(_SCHEME) :].strip())
        if token is not None:
            return token
    raise UnauthenticatedError("Send one API key: `Authorization: Bearer cf_...`; an operator makes one.")
