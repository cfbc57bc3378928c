from __future__ import annotations

import pytest

from service.access.api_keys import ApiKey, Pepper, Token, new_api_key
from service.access.authentication import FRESH_S, STALE_S, KeyAuthenticator, OpenDoor
from service.access.callers import ANYBODY, Scope
from service.errors import InsufficientScopeError, StoreUnavailableError, UnauthenticatedError

PEPPER = Pepper((bytes(32),))


class FakeKeyStore:
    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.broken = False
        self.asked = 0

    async def get(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        if self.broken:
            raise StoreUnavailableError("The template store does not answer.")
        return self.keys.get(key_id)

    def add(self, expires_at: float | None = None) -> Token:
        key, token = new_api_key(
            PEPPER,
            name="n",
            tenant="acme",
            scopes=frozenset({Scope.VERIFY}),
            images_per_day=None,
            expires_at=expires_at,
            now=0.0,
        )
        self.keys[key.key_id] = key
        return token


class Rig:
    def __init__(self) -> None:
        self.now = 1000.0
        self.store = FakeKeyStore()
        self.authenticator = KeyAuthenticator(self.store, PEPPER, clock=lambda: self.now, monotonic=lambda: self.now)

    async def tenant(self, *authorization: str) -> str:
        return (await self.authenticator.authenticate(authorization)).tenant


async def test_a_key_is_a_caller() -> None:
    rig = Rig()
    token = rig.store.add()
    for scheme in ("Bearer", "bearer", "BEARER"):
        caller = await rig.authenticator.authenticate([f"{scheme} {token.text}"])
        assert (caller.tenant, caller.key_id) == ("acme", token.key_id)
    caller.require(Scope.VERIFY)
    with pytest.raises(InsufficientScopeError, match="templates:write"):
        caller.require(Scope.TEMPLATES_WRITE)


async def test_what_is_no_key_of_ours_is_refused_in_one_way() -> None:
    rig = Rig()
    token = rig.store.add()
    unknown = f"Bearer cf_{'0' * 10}_{token.secret}"
    wrong = f"Bearer cf_{token.key_id}_{'A' * 43}"
    details = set()
    for header in (unknown, wrong):
        with pytest.raises(UnauthenticatedError) as refusal:
            await rig.tenant(header)
        details.add(refusal.value.detail)
    assert len(details) == 1, "an id that exists is not told from one that does not"


@pytest.mark.parametrize("headers", [(), ("",), ("Basic abc",), ("Bearer",), ("Bearer x",), ("{good}", "{good}")])
async def test_one_header_with_one_key_is_needed(headers: tuple[str, ...]) -> None:
    rig = Rig()
    good = f"Bearer {rig.store.add().text}"
    with pytest.raises(UnauthenticatedError, match="Send one API key"):
        await rig.tenant(*(header.format(good=good) for header in headers))
    assert rig.store.asked == 0


async def test_an_expired_key_is_refused_even_while_it_is_remembered() -> None:
    rig = Rig()
    header = f"Bearer {rig.store.add(expires_at=1001.0).text}"
    assert await rig.tenant(header) == "acme"
    rig.now = 1001.0
    with pytest.raises(UnauthenticatedError):
        await rig.tenant(header)


async def test_a_revoked_key_works_for_some_seconds_at_most() -> None:
    rig = Rig()
    token = rig.store.add()
    header = f"Bearer {token.text}"
    await rig.tenant(header)
    await rig.tenant(header)
    assert rig.store.asked == 1
    del rig.store.keys[token.key_id]
    rig.now += FRESH_S
    with pytest.raises(UnauthenticatedError):
        await rig.tenant(header)


async def test_known_keys_work_while_the_store_does_not_and_unknown_ones_do_not() -> None:
    rig = Rig()
    known, unknown = f"Bearer {rig.store.add().text}", f"Bearer {rig.store.add().text}"
    await rig.tenant(known)
    rig.store.broken = True
    rig.now += STALE_S - 1
    assert await rig.tenant(known) == "acme"
    with pytest.raises(StoreUnavailableError):
        await rig.tenant(unknown)
    rig.now += 1
    with pytest.raises(StoreUnavailableError):
        await rig.tenant(known)


async def test_without_keys_everybody_may_do_everything() -> None:
    caller = await OpenDoor().authenticate([])
    assert caller == ANYBODY and caller.key_id is None
    for scope in Scope:
        caller.require(scope)
