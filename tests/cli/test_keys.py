"""`coreface keys` and `coreface rewrap`, over a real store."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.access.api_keys import Pepper
from service.access.authentication import KeyAuthenticator
from service.access.callers import Caller, Scope
from service.errors import UnauthenticatedError
from service.store.api_key_store import RedisApiKeyStore
from service.store.connection import connect_redis
from service.store.sealing import KeyRing
from tests.cli.conftest import RunCommand
from tests.store.samples import KEY

RunJson = Callable[..., tuple[int, Any]]
NEWER = bytes(32)


def encoded(*ring: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in ring)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, valkey_url: str) -> None:
    monkeypatch.setenv("COREFACE_REDIS_URL", valkey_url)
    monkeypatch.setenv("COREFACE_SEALING_KEY", encoded(KEY))
    monkeypatch.setenv("COREFACE_AUDIT_LOG", str(tmp_path / "audit.jsonl"))


@pytest.fixture
def caller_of(valkey_url: str) -> Callable[..., Caller]:
    """Whom the API would take the sender of a key for."""

    async def authenticate(api_key: str, ring: KeyRing) -> Caller:
        redis = connect_redis(valkey_url)
        try:
            authenticator = KeyAuthenticator(RedisApiKeyStore(redis, ring), Pepper(ring))
            return await authenticator.authenticate([f"Bearer {api_key}"])
        finally:
            await redis.aclose()

    return lambda api_key, *ring: asyncio.run(authenticate(api_key, ring or (KEY,)))


def test_a_new_key_is_shown_once_and_opens_the_api(coreface: RunCommand, caller_of: Callable[..., Caller]) -> None:
    status, out, err = coreface("keys", "create", "--name", "door")
    assert status == 0 and "not shown again" in err
    caller = caller_of(out.strip())
    assert (caller.tenant, caller.images_per_day) == ("default", None)
    assert caller.scopes == {Scope.TEMPLATES_WRITE, Scope.VERIFY}
    _, listed, _ = coreface("keys", "list")
    assert "door" in listed and out.strip() not in listed


def test_what_a_key_may_is_said_when_it_is_made(coreface_json: RunJson, caller_of: Callable[..., Caller]) -> None:
    options = ("--tenant", "acme", "--scope", "verify", "--scope", "scores:raw", "--images-per-day", 7, "--days", 1)
    _, made = coreface_json("keys", "create", "--name", "n", *options)
    caller = caller_of(made["api_key"])
    assert (caller.tenant, caller.images_per_day) == ("acme", 7)
    assert caller.scopes == {Scope.VERIFY, Scope.SCORES_RAW}
    [listed] = coreface_json("keys", "list")[1]["keys"]
    assert listed == {name: value for name, value in made.items() if name != "api_key"}
    assert listed["expires_at"] > listed["created_at"]


@pytest.mark.parametrize("tenant", ["", "Acme", "-acme", "a:b", "a" * 33])
def test_a_tenant_has_a_plain_name(coreface: RunCommand, tenant: str) -> None:
    status, out, err = coreface("keys", "create", "--name", "n", "--tenant", tenant)
    assert (status, out) == (2, "") and "no name of a tenant" in err


def test_a_rotated_key_has_a_new_secret_and_a_revoked_one_none(
    coreface_json: RunJson, caller_of: Callable[..., Caller]
) -> None:
    _, made = coreface_json("keys", "create", "--name", "n")
    _, rotated = coreface_json("keys", "rotate", made["key_id"])
    assert caller_of(made["api_key"]) == caller_of(rotated["api_key"]), "both, for a while"
    _, again = coreface_json("keys", "rotate", made["key_id"], "--overlap-hours", 0)
    for gone in (made, rotated):
        with pytest.raises(UnauthenticatedError):
            caller_of(gone["api_key"])
    assert coreface_json("keys", "revoke", made["key_id"]) == (0, {"revoked": made["key_id"]})
    with pytest.raises(UnauthenticatedError):
        caller_of(again["api_key"])
    for command in ("rotate", "revoke"):
        status, problem = coreface_json("keys", command, made["key_id"])
        assert status == 2 and "There is no API key" in problem["error"]["detail"]


def test_every_change_has_an_audit_line(coreface_json: RunJson, tmp_path: Path) -> None:
    _, made = coreface_json("keys", "create", "--name", "n", "--tenant", "acme")
    for command in ("rotate", "revoke"):
        coreface_json("keys", command, made["key_id"])
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["key.created", "key.rotated", "key.revoked"]
    assert {(line["tenant"], line["key"]) for line in lines} == {("acme", made["key_id"])}


def test_keys_come_under_a_new_sealing_key(
    coreface_json: RunJson, caller_of: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = coreface_json("keys", "create", "--name", "n")
    monkeypatch.setenv("COREFACE_SEALING_KEY", encoded(NEWER, KEY))
    assert coreface_json("rewrap") == (0, {"templates": 0, "api_keys": 1})
    assert caller_of(made["api_key"], NEWER, KEY).key_id == made["key_id"]
    _, rotated = coreface_json("keys", "rotate", made["key_id"])
    assert caller_of(rotated["api_key"], NEWER).key_id == made["key_id"], "the old one can go"
