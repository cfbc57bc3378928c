"""`coreface enrol`: folders of images become templates."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.sample_sets import SampleSet, find_sample_sets
from service.cli.service_options import (
    ApiKeyOption,
    ConsistencyPolicyOption,
    FacePolicyOption,
    JsonOption,
    LocalOption,
    UrlOption,
)
from service.cli.terminal import ProgressUpdate, Terminal
from service.errors import SetupError
from service.types import ConsistencyPolicy, FacePolicy

if TYPE_CHECKING:
    from service.cli.service_connection import Answer, ServiceConnection

_SETS_IN_FLIGHT = 4
"""Enough to let a worker batch over sets."""


def enrol(
    paths: Annotated[list[Path], typer.Argument(help="Images, a folder of images, or a folder of such folders.")],
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    local: LocalOption = False,
    face_policy: FacePolicyOption = FacePolicy.LARGEST,
    consistency_policy: ConsistencyPolicyOption = ConsistencyPolicy.WARN,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the sealed template of the one set to this .coreface file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create templates. Images named one by one are one set; so is a folder; a folder of folders is one set each.

    Ends with 0 when every set became a template, 1 when one did not, 2 when the command could not do its work.
    """
    sets = find_sample_sets(paths)
    if output is not None and len(sets) != 1:
        raise SetupError(f"--output takes one set; there are {len(sets)}.")
    from service.cli.service_connection import connect_in_process, connect_to_service

    policies = {"face_policy": face_policy.value, "consistency_policy": consistency_policy.value}
    terminal = Terminal(as_json=as_json)
    connection = connect_in_process() if local else connect_to_service(url, api_key)
    with terminal.progress("loading the model" if local else "connecting") as update:
        entries = asyncio.run(_enrol_all(connection, sets, policies, output is not None, update))
    if output is not None and "template_id" in entries[0]:
        write_privately(output, base64.b64decode(entries[0]["sealed_template"]))
    for entry in entries:
        entry.pop("sealed_template", None)
    _show(terminal, sets, entries)
    if any("error" in entry for entry in entries):
        raise typer.Exit(1)


async def _enrol_all(
    connection: AbstractAsyncContextManager[ServiceConnection],
    sets: Sequence[SampleSet],
    policies: Mapping[str, str],
    with_sealed: bool,
    update: ProgressUpdate,
) -> list[Answer]:
    from service.cli.service_connection import ServiceProblemError

    include = ["sealed_template"] if with_sealed else []
    places = asyncio.Semaphore(_SETS_IN_FLIGHT)
    done = 0

    async def enrol_one(service: ServiceConnection, sample_set: SampleSet) -> Answer:
        nonlocal done
        async with places:
            try:
                samples = await asyncio.to_thread(sample_set.read)
                outcome = await service.enrol(samples, policies, include)
            except ServiceProblemError as error:
                outcome = {"error": error.problem}
        done += 1
        update(f"enrolled {done} of {len(sets)}", done / len(sets))
        return {"name": sample_set.name, "files": [str(path) for path in sample_set.files], **outcome}

    async with connection as service:
        update(f"enrolled 0 of {len(sets)}", 0.0)
        # A group would wrap the one error that tells what to do.
        tasks = [asyncio.ensure_future(enrol_one(service, sample_set)) for sample_set in sets]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()


def _show(terminal: Terminal, sets: Sequence[SampleSet], entries: Sequence[Answer]) -> None:
    if terminal.as_json:
        terminal.show_json({"templates": entries})
        return
    if len(entries) == 1:
        show_samples(terminal, sets[0], entries[0])
    terminal.show_table(("set", "template", "used", "quality", ""), [_row(entry) for entry in entries])


def show_samples(terminal: Terminal, sample_set: SampleSet, entry: Answer) -> None:
    """What became of each image of a set."""
    samples = entry.get("samples") or entry.get("error", {}).get("samples") or []
    terminal.show_table(
        ("sample", "status", "quality", "group", "core", "weight", "change"),
        [
            (
                sample_set.files[sample["index"]].name,
                sample["reason"] or sample["status"],
                _number(sample["quality"]),
                "-" if sample["group"] is None else str(sample["group"]),
                "-" if sample["core_rank"] is None else str(sample["core_rank"]),
                f"{sample['weight']:.3f}",
                "-" if sample["change"] is None else f"{sample['change']:.4f}",
            )
            for sample in samples
        ],
    )
    if samples:
        terminal.show_line("")


def _row(entry: Answer) -> tuple[str, ...]:
    count = len(entry["files"])
    if "error" in entry:
        return entry["name"], "-", f"0/{count}", "-", str(entry["error"].get("detail", entry["error"].get("code")))
    used = sum(sample["status"] == "used" for sample in entry["samples"])
    notes = ["cached"] if entry["cached"] else []
    if entry["consistent"] is False:
        notes.append("its faces do not look like one person's")
    return entry["name"], entry["template_id"], f"{used}/{count}", _number(entry["quality"]), ", ".join(notes)


def _number(quality: float | None) -> str:
    return "-" if quality is None else f"{quality:.0f}"


def write_privately(path: Path, data: bytes) -> None:
    """Complete or not at all, for this user alone. Raises `SetupError`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SetupError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
