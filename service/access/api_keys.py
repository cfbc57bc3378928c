"""API keys: what is given out once, and what is kept of it.

A key is `cf_<id>_<secret>`: 40 bits that name it and 256 random bits that prove it. Kept is an HMAC-SHA-256 of the
secret under a pepper which is derived from the deployment's key ring, so that a copy of the store alone verifies
nothing. A secret of so many random bits needs no slow hash.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.access.callers import Caller, Scope
from service.store.sealing import KeyRing, derive_key

_TOKEN = re.compile(r"cf_([0-9a-f]{10})_([A-Za-z0-9_-]{43})")
TENANT_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"


@dataclass(frozen=True, slots=True)
class Secret:
    """One of the secrets of a key: after a rotation the older one lives on for a while."""

    digest: bytes
    expires_at: float | None
    """Unix seconds; None: as long as the key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. Its secret is not."""

    key_id: str
    name: str
    """What the operator calls it."""
    tenant: str
    scopes: frozenset[Scope]
    images_per_day: int | None
    created_at: float
    """Unix seconds."""
    expires_at: float | None
    secrets: tuple[Secret, ...]
    """The newest first."""

    @property
    def caller(self) -> Caller:
        return Caller(self.tenant, self.key_id, self.scopes, self.images_per_day)

    def is_live(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class Token:
    """A key as it is sent. Never shown by a log or an error."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.key_id})"

    @property
    def text(self) -> str:
        return f"cf_{self.key_id}_{self.secret}"

    @classmethod
    def parse(cls, text: str) -> Token | None:
        """None for what is no key by its form."""
        found = _TOKEN.fullmatch(text)
        return None if found is None else cls(found[1], found[2])


class Pepper:
    """Digests of secrets, under the current key of the ring; those under its older keys still count."""

    def __init__(self, ring: KeyRing) -> None:
        self._keys = [derive_key(key, "api key pepper") for key in ring]

    def digest(self, secret: str) -> bytes:
        return _digest(self._keys[0], secret)

    def is_secret_of(self, token: Token, kept: Sequence[Secret], now: float) -> bool:
        """In constant time: all of the few that are kept are compared, whichever it is."""
        digests = [_digest(key, token.secret) for key in self._keys]
        live = [secret.digest for secret in kept if secret.expires_at is None or now < secret.expires_at]
        equal = [hmac.compare_digest(digest, each) for digest in digests for each in live]
        return any(equal)


def _digest(key: bytes, secret: str) -> bytes:
    return hmac.digest(key, secret.encode("ascii"), "sha256")


def new_api_key(
    pepper: Pepper,
    *,
    name: str,
    tenant: str,
    scopes: frozenset[Scope],
    images_per_day: int | None,
    expires_at: float | None,
    now: float,
) -> tuple[ApiKey, Token]:
    """A key, and the only time its secret is there."""
    token = Token(secrets.token_hex(5), secrets.token_urlsafe(32))
    kept = (Secret(pepper.digest(token.secret), None),)
    return ApiKey(token.key_id, name, tenant, scopes, images_per_day, now, expires_at, kept), token


def rotated(key: ApiKey, pepper: Pepper, *, overlap_s: float, now: float) -> tuple[ApiKey, Token]:
    """The same key with a new secret; the one that was current counts for `overlap_s` more, older ones not at all."""
    token = Token(key.key_id, secrets.token_urlsafe(32))
    kept = [Secret(pepper.digest(token.secret), None)]
    if overlap_s > 0:
        kept.append(replace(key.secrets[0], expires_at=now + overlap_s))
    return replace(key, secrets=tuple(kept)), token
