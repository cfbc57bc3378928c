"""`coreface explain`: what each picture of a set is worth, as a table and as a picture, on this machine alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from service.cli.enrolment import show_samples, write_privately
from service.cli.sample_sets import find_sample_sets
from service.cli.service_options import ConsistencyPolicyOption, FacePolicyOption, JsonOption
from service.cli.terminal import Terminal
from service.errors import SetupError
from service.types import ConsistencyPolicy, FacePolicy


def explain(
    paths: Annotated[list[Path], typer.Argument(help="Images or one folder of images of one subject.")],
    output: Annotated[Path, typer.Option("--output", help="Picture to write (PNG).")] = Path("report.png"),
    face_policy: FacePolicyOption = FacePolicy.LARGEST,
    consistency_policy: ConsistencyPolicyOption = ConsistencyPolicy.WARN,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each picture of a set. Runs the model in this process; nothing is kept but the picture."""
    sets = find_sample_sets(paths)
    if len(sets) != 1:
        raise SetupError(f"`coreface explain` takes one set; there are {len(sets)}.")
    from service.cli.service_connection import Answer, ServiceProblemError, connect_in_process

    policies = {"face_policy": face_policy.value, "consistency_policy": consistency_policy.value}
    terminal = Terminal(as_json=as_json)

    async def run() -> tuple[Answer, bytes]:
        samples = sets[0].read()
        async with connect_in_process() as service:
            answer = await service.enrol(samples, policies, [])
            return answer, await service.draw(answer["template_id"], samples)

    try:
        with terminal.progress("loading the model"):
            answer, picture = asyncio.run(run())
    except ServiceProblemError as error:
        terminal.show_problem(error.problem)
        raise typer.Exit(2) from error
    write_privately(output, picture)
    entry = {"files": [str(path) for path in sets[0].files], **answer}
    if as_json:
        terminal.show_json({**entry, "picture": str(output)})
        return
    show_samples(terminal, sets[0], entry)
    terminal.show_line(f"Written to {output}.")
