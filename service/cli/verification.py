"""`coreface verify`: one 1:1 comparison."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.service_options import (
    ApiKeyOption,
    ConsistencyPolicyOption,
    FacePolicyOption,
    JsonOption,
    LocalOption,
    UrlOption,
)
from service.cli.sides import read_side, split_sides
from service.cli.terminal import ProgressUpdate, Terminal
from service.types import ConsistencyPolicy, FacePolicy

if TYPE_CHECKING:
    from service.cli.service_connection import Answer, ServiceConnection


def verify(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="REFERENCE... -- PROBE...",
            help="A side is a template id, a .coreface file, or images and folders of images of one subject.",
        ),
    ],
    operating_point: Annotated[
        str | None, typer.Option("--operating-point", help="For example `fmr_1e-4`; unset: the pack's default.")
    ] = None,
    url: UrlOption = "http://127.0.0.1:8000",
    api_key: ApiKeyOption = None,
    local: LocalOption = False,
    raw_scores: Annotated[
        bool, typer.Option("--raw-scores", help="The exact score as well; with --local always.")
    ] = False,
    face_policy: FacePolicyOption = FacePolicy.LARGEST,
    consistency_policy: ConsistencyPolicyOption = ConsistencyPolicy.WARN,
    as_json: JsonOption = False,
) -> None:
    """Compare a reference with a probe. Ends with 0 for a match, 1 for a non-match, 2 for no decision."""
    reference, probe = split_sides(sides)
    policies = {"face_policy": face_policy.value, "consistency_policy": consistency_policy.value}
    body: dict[str, object] = {
        "reference": read_side(reference, policies),
        "probe": read_side(probe, policies),
        "scores": "raw" if local or raw_scores else "banded",
    }
    if operating_point is not None:
        body["operating_point"] = operating_point
    from service.cli.service_connection import ServiceProblemError, connect_in_process, connect_to_service

    terminal = Terminal(as_json=as_json)
    connection = connect_in_process() if local else connect_to_service(url, api_key)
    try:
        with terminal.progress("loading the model" if local else "connecting") as update:
            answer = asyncio.run(_verify(connection, body, update))
    except ServiceProblemError as error:
        terminal.show_problem(error.problem)
        raise typer.Exit(2) from error
    _show(terminal, answer)
    if answer["decision"] != "match":
        raise typer.Exit(1)


async def _verify(
    connection: AbstractAsyncContextManager[ServiceConnection], body: dict[str, object], update: ProgressUpdate
) -> Answer:
    async with connection as service:
        update("comparing", 0.5)
        return await service.verify(body)


def _show(terminal: Terminal, answer: Answer) -> None:
    if terminal.as_json:
        terminal.show_json(answer)
        return
    low, high = answer["threshold_interval"]
    sign = ">=" if answer["decision"] == "match" else "<"
    score = "score" if answer["score"] is None else f"score {answer['score']:.4f}"
    terminal.show_line(
        f"{answer['decision']}: {score} {sign} threshold {answer['threshold']:.4f} "
        f"at {answer['operating_point']} (95 % of it {low:.4f} to {high:.4f})"
    )
    terminal.show_line(f"strictest operating point that it matches at: {answer['band'] or 'none'}")
    if answer["llr"] is not None:
        terminal.show_line(f"log-likelihood ratio {answer['llr']:+.2f}")
    levels = " against ".join(answer[side]["quality_level"] for side in ("reference", "probe"))
    terminal.show_line(f"template quality {levels}")
    for side in ("reference", "probe"):
        samples = answer[side]["samples"]
        if samples is not None:
            used = sum(sample["status"] == "used" for sample in samples)
            reasons = ", ".join(sorted({sample["reason"] for sample in samples if sample["reason"]}))
            terminal.show_line(f"{side}: {used} of {len(samples)} samples used" + (f" ({reasons})" if reasons else ""))
            if answer[side]["consistent"] is False:
                terminal.show_line(f"{side}: its faces do not look like one person's")
    terminal.show_line("presentation-attack detection: not performed")
