"""`coreface templates`: what a running service keeps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.cli.service_options import ApiKeyOption, JsonOption, UrlOption
from service.cli.terminal import Terminal
from service.errors import SetupError

if TYPE_CHECKING:
    from service.cli.service_connection import Answer, ServiceConnection

TemplateIds = Annotated[list[str], typer.Argument(metavar="TEMPLATE_ID...", help="As `coreface enrol` answered them.")]
SubjectOption = Annotated[
    str | None, typer.Option("--subject", help="Those of this person alone, by the name sent with the samples.")
]
_PAGE = 200
_DAY_S = 86400

Outcome = TypeVar("Outcome")


def show_all(
    subject: SubjectOption = None,
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the templates that the service keeps for this key's tenant."""
    terminal = Terminal(as_json=as_json)

    async def read(service: ServiceConnection) -> list[Answer]:
        if subject is not None:
            return list((await service.get(f"/v1/subjects/{_quoted(subject)}"))["templates"])
        return [template async for template in _pages(service)]

    found = _ask(terminal, url, api_key, read)
    if as_json:
        terminal.show_json({"templates": found})
        return
    terminal.show_table(
        ("template", "subject", "samples", "created", "expires"),
        [
            (
                entry["template_id"],
                entry.get("subject") or subject or "-",
                str(entry["samples"]),
                _day(entry["created_at"]),
                _day(entry["expires_at"]),
            )
            for entry in found
        ],
    )


def show(
    template_id: Annotated[str, typer.Argument(metavar="TEMPLATE_ID")],
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is known of a template, and what became of each of its samples."""
    terminal = Terminal(as_json=as_json)

    async def read(service: ServiceConnection) -> Answer:
        return await service.get(f"/v1/templates/{_quoted(template_id)}")

    answer = _ask(terminal, url, api_key, read)
    if as_json:
        terminal.show_json(answer)
        return
    for name in ("template_id", "subject", "fingerprint", "created_at", "expires_at", "quality", "consistent"):
        terminal.show_line(f"{name}: {'-' if answer[name] is None else answer[name]}")
    terminal.show_table(
        ("sample", "status", "quality", "core", "weight"),
        [
            (
                str(sample["index"]),
                sample["reason"] or sample["status"],
                "-" if sample["quality"] is None else f"{sample['quality']:.0f}",
                "-" if sample["core_rank"] is None else str(sample["core_rank"]),
                f"{sample['weight']:.3f}",
            )
            for sample in answer["samples"]
        ],
    )


def expire(
    template_ids: TemplateIds,
    days: Annotated[float, typer.Option("--days", min=0, help="From now; a template never lives longer for it.")],
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let templates expire sooner than they would."""
    terminal = Terminal(as_json=as_json)
    seconds = max(1, round(days * _DAY_S))

    async def shorten(service: ServiceConnection) -> list[Answer]:
        return [
            await service.put(f"/v1/templates/{_quoted(template_id)}/expiry?seconds={seconds}")
            for template_id in template_ids
        ]

    answers = _ask(terminal, url, api_key, shorten)
    if as_json:
        terminal.show_json({"templates": answers})
        return
    for answer in answers:
        terminal.show_line(f"{answer['template_id']} expires at {answer['expires_at']}")


def erase(
    template_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[TEMPLATE_ID...]", help="As `coreface enrol` answered them.")
    ] = None,
    subject: SubjectOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")] = False,
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase templates, or all of a person. What is erased cannot be brought back."""
    ids = template_ids or []
    if bool(ids) == (subject is not None):
        raise SetupError("Name templates, or a person with --subject.")
    terminal = Terminal(as_json=as_json)
    what = f"every template of {subject!r}" if subject is not None else f"{len(ids)} template(s)"
    if not yes:
        _confirm(what)

    async def remove(service: ServiceConnection) -> int:
        if subject is not None:
            return int((await service.delete(f"/v1/subjects/{_quoted(subject)}"))["erased"])
        for template_id in ids:
            await service.delete(f"/v1/templates/{_quoted(template_id)}")
        return len(ids)

    erased = _ask(terminal, url, api_key, remove)
    if as_json:
        terminal.show_json({"erased": erased})
    else:
        terminal.show_line(f"{erased} erased")


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise SetupError(f"This would erase {what}; say --yes where nobody can be asked.")
    if not typer.confirm(f"Erase {what}? It cannot be brought back.", err=True):
        raise SetupError("Nothing was erased.")


async def _pages(service: ServiceConnection) -> AsyncIterator[Answer]:
    """Every template once."""
    seen: set[str] = set()
    cursor: str | None = "0"
    while cursor is not None:
        page = await service.get(f"/v1/templates?limit={_PAGE}&cursor={cursor}")
        for entry in page["templates"]:
            if entry["template_id"] not in seen:
                seen.add(entry["template_id"])
                yield entry
        cursor = page["next_cursor"]


def _ask(
    terminal: Terminal, url: str, api_key: str | None, work: Callable[[ServiceConnection], Awaitable[Outcome]]
) -> Outcome:
    """The outcome of `work`. What the service refuses is told, and ends the command with 2."""
    from service.cli.service_connection import ServiceProblemError, connect_to_service

    async def connected() -> Outcome:
        async with connect_to_service(url, api_key) as service:
            return await work(service)

    try:
        return asyncio.run(connected())
    except ServiceProblemError as error:
        terminal.show_problem(error.problem)
        raise typer.Exit(2) from error


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _day(instant: str) -> str:
    return instant[:16].replace("T", " ")
