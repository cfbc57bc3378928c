"""`coreface keys`: API keys of a deployment, for whoever may reach its store and has its sealing key."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.access.callers import Scope
from service.cli.operator_settings import read_settings
from service.cli.operator_store import connected, store_url
from service.cli.service_options import JsonOption
from service.cli.terminal import Terminal
from service.errors import SetupError
from service.types import DEFAULT_TENANT

if TYPE_CHECKING:
    from service.access.api_keys import ApiKey, Pepper, Token
    from service.store.api_key_store import RedisApiKeyStore

_DAY_S = 86400
_USUAL_SCOPES = (Scope.TEMPLATES_WRITE, Scope.VERIFY)

Answer = TypeVar("Answer")
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `coreface keys list` shows it.")]


def create(
    name: Annotated[str, typer.Option("--name", help="What you call it; shown by `list`.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose templates it reaches: a-z, 0-9 and -, up to 32.")
    ] = DEFAULT_TENANT,
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What it allows; may be given several times. [default: templates:write, verify]"),
    ] = None,
    images_per_day: Annotated[int | None, typer.Option("--images-per-day", min=1, help="Unset: any number.")] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Its life. Unset: until it is revoked.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key. It is shown this once."""
    from service.access.api_keys import TENANT_PATTERN, new_api_key
    from service.observability.audit import Event

    if re.fullmatch(TENANT_PATTERN, tenant) is None:
        raise SetupError(f"{tenant!r} is no name of a tenant: a-z, 0-9 and -, at most 32, the first no -.")

    async def make(store: RedisApiKeyStore, pepper: Pepper) -> tuple[ApiKey, Token]:
        now = time.time()
        key, token = new_api_key(
            pepper,
            name=name,
            tenant=tenant,
            scopes=frozenset(scope or _USUAL_SCOPES),
            images_per_day=images_per_day,
            expires_at=None if days is None else now + days * _DAY_S,
            now=now,
        )
        await store.put(key)
        return key, token

    key, token = _with_store(make)
    _audit(Event.KEY_CREATED, key.tenant, key.key_id)
    _show_new(key, token, as_json)


def show(as_json: JsonOption = False) -> None:
    """List the API keys."""
    keys = _with_store(lambda store, _pepper: store.list())
    terminal = Terminal(as_json=as_json)
    if as_json:
        terminal.show_json({"keys": [_row(key) for key in keys]})
        return
    columns = ("key_id", "name", "tenant", "scopes", "images_per_day", "expires_at")
    terminal.show_table(columns, [tuple(str(_row(key)[column] or "-") for column in columns) for key in keys])


def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option("--overlap-hours", min=0, help="How long the old secret still works.")
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Give an API key a new secret."""
    from service.access.api_keys import rotated
    from service.observability.audit import Event

    async def make(store: RedisApiKeyStore, pepper: Pepper) -> tuple[ApiKey, Token]:
        key, token = rotated(await _existing(store, key_id), pepper, overlap_s=overlap_hours * 3600, now=time.time())
        await store.put(key)
        return key, token

    key, token = _with_store(make)
    _audit(Event.KEY_ROTATED, key.tenant, key.key_id)
    _show_new(key, token, as_json)


def revoke(key_id: KeyId, as_json: JsonOption = False) -> None:
    """End an API key. Processes that know it take it for up to five more seconds."""
    from service.observability.audit import Event

    async def end(store: RedisApiKeyStore, _pepper: Pepper) -> ApiKey:
        key = await _existing(store, key_id)
        await store.remove(key_id)
        return key

    key = _with_store(end)
    _audit(Event.KEY_REVOKED, key.tenant, key.key_id)
    terminal = Terminal(as_json=as_json)
    if as_json:
        terminal.show_json({"revoked": key_id})
    else:
        terminal.show_line(f"{key_id} is revoked")


async def _existing(store: RedisApiKeyStore, key_id: str) -> ApiKey:
    key = await store.get(key_id)
    if key is None:
        raise SetupError(f"There is no API key {key_id}; see `coreface keys list`.")
    return key


def _with_store(work: Callable[[RedisApiKeyStore, Pepper], Awaitable[Answer]]) -> Answer:
    from service.access.api_keys import Pepper
    from service.store.api_key_store import RedisApiKeyStore
    from service.store.sealing import load_key_ring

    settings = read_settings()
    ring = load_key_ring(settings)

    async def run(url: str) -> Answer:
        async with connected(url) as redis:
            return await work(RedisApiKeyStore(redis, ring), Pepper(ring))

    with store_url(settings, beside_service=True) as url:
        return asyncio.run(run(url))


def _audit(event: str, tenant: str, key_id: str) -> None:
    from service.observability.audit import STANDARD_OUTPUT, LineAuditLog

    sink = read_settings().audit_sink
    if sink == STANDARD_OUTPUT:
        sink = "/dev/stderr"  # standard output is the command's own
    log = LineAuditLog(sink)
    log.write([{"event": str(event), "tenant": tenant, "key": key_id}])
    log.close()


def _show_new(key: ApiKey, token: Token, as_json: bool) -> None:
    terminal = Terminal(as_json=as_json)
    if as_json:
        terminal.show_json({**_row(key), "api_key": token.text})
        return
    terminal.show_line(token.text)
    sys.stderr.write("coreface: keep it now, it is not shown again; send it as `Authorization: Bearer ...`\n")


def _row(key: ApiKey) -> dict[str, str | int | None]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": ", ".join(sorted(scope.value for scope in key.scopes)),
        "images_per_day": key.images_per_day,
        "created_at": _instant(key.created_at),
        "expires_at": None if key.expires_at is None else _instant(key.expires_at),
    }


def _instant(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat("T", "seconds")
