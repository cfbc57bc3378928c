"""`coreface enrol`: folders of images become templates, a few or a hundred thousand."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Sequence
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
from service.cli.terminal import Terminal
from service.errors import SetupError
from service.types import ConsistencyPolicy, FacePolicy

if TYPE_CHECKING:
    from service.cli.enrolment_results import EnrolmentResults
    from service.cli.enrolment_run import EnrolmentRun
    from service.cli.service_connection import Answer

SETS_IN_FLIGHT = 4
"""Enough to let a worker batch over sets."""
EXIT_INTERRUPTED = 130
"""As of a program that SIGINT ends."""


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
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Write a row for each image to this .csv, .parquet or .jsonl file."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --results: sets that are templates already are left out.")
    ] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Sets that are sent at once.")
    ] = SETS_IN_FLIGHT,
    as_json: JsonOption = False,
) -> None:
    """Create templates. Images named one by one are one set; so is a folder; a folder of folders is one set each.

    Ends with 0 when every set became a template, 1 when one did not, 2 when the command could not do its work, 130 when
    it was interrupted.
    """
    sets = find_sample_sets(paths)
    if output is not None and len(sets) != 1:
        raise SetupError(f"--output takes one set; there are {len(sets)}.")
    if resume and results is None:
        raise SetupError("--resume goes on with a file of results: name it with --results.")
    from service.cli.enrolment_results import open_results
    from service.cli.enrolment_run import EnrolmentRun
    from service.cli.service_connection import connect_in_process, connect_to_service

    policies = {"face_policy": face_policy.value, "consistency_policy": consistency_policy.value}
    terminal = Terminal(as_json=as_json)
    kept = None if results is None else open_results(results, resume=resume)
    connection = connect_in_process() if local else connect_to_service(url, api_key)
    with terminal.progress("loading the model" if local else "connecting") as update:
        run = EnrolmentRun(sets, policies, kept, concurrency=concurrency, with_sealed=output is not None, update=update)
        try:
            asyncio.run(run.run(connection))
        except KeyboardInterrupt:
            _say_interrupted(terminal, run, kept)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            if kept is not None:
                kept.close()
    if output is not None and "template_id" in run.entries[0]:
        write_privately(output, base64.b64decode(run.entries[0].pop("sealed_template")))
    if kept is None:
        _show(terminal, sets, run.entries)
    else:
        _show_counts(terminal, run, kept)
    if run.failed:
        raise typer.Exit(1)


def _show(terminal: Terminal, sets: Sequence[SampleSet], entries: Sequence[Answer]) -> None:
    if terminal.as_json:
        terminal.show_json({"templates": entries})
        return
    if len(entries) == 1:
        show_samples(terminal, sets[0], entries[0])
    terminal.show_table(("set", "template", "used", "quality", ""), [_row(entry) for entry in entries])


def _show_counts(terminal: Terminal, run: EnrolmentRun, kept: EnrolmentResults) -> None:
    counts = {"sets": run.total, "enrolled": run.enrolled, "failed": run.failed, "left_out": run.left_out}
    if terminal.as_json:
        terminal.show_json({**counts, "results": str(kept.path)})
        return
    left_out = f", {run.left_out} were there already" if run.left_out else ""
    terminal.show_line(f"{run.enrolled} of {run.total} sets enrolled, {run.failed} failed{left_out}: {kept.path}")


def _say_interrupted(terminal: Terminal, run: EnrolmentRun, kept: EnrolmentResults | None) -> None:
    done = run.enrolled + run.failed + run.left_out
    remedy = "" if kept is None else " The same command with --resume goes on."
    terminal.show_problem({"code": "interrupted", "detail": f"interrupted after {done} of {run.total} sets.{remedy}"})


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
