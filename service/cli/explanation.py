"""`coreface explain`: what each picture of a set is worth, as a table and as a picture, on this machine alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.enrolment import show_samples, write_privately
from service.cli.sample_sets import find_sample_sets
from service.cli.service_options import ConsistencyPolicyOption, FacePolicyOption, JsonOption
from service.cli.terminal import Terminal
from service.errors import RefusedSetError, SetupError
from service.types import ConsistencyPolicy, FacePolicy, SetPolicies, are_consistent

if TYPE_CHECKING:
    from service.cli.service_connection import Answer

_CONSISTENT = {True: "yes", False: "no", None: "not known"}


def explain(
    paths: Annotated[list[Path], typer.Argument(help="Images or one folder of images of one subject.")],
    output: Annotated[Path, typer.Option("--output", help="Picture to write (PNG).")] = Path("report.png"),
    face_policy: FacePolicyOption = FacePolicy.LARGEST,
    consistency_policy: ConsistencyPolicyOption = ConsistencyPolicy.WARN,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each picture of a set. Runs the model in this process; nothing is kept but the picture.

    A set that no template can be made of is shown too, and ends with 1.
    """
    sets = find_sample_sets(paths)
    if len(sets) != 1:
        raise SetupError(f"`coreface explain` takes one set; there are {len(sets)}.")
    terminal = Terminal(as_json=as_json)
    with terminal.progress("loading the model"):
        answer, picture = asyncio.run(_explain(sets[0].read(), SetPolicies(face_policy, consistency_policy)))
    write_privately(output, picture)
    if as_json:
        terminal.show_json({"files": [str(path) for path in sets[0].files], **answer, "picture": str(output)})
    else:
        show_samples(terminal, sets[0], answer)
        terminal.show_line(f"consistent: {_CONSISTENT[answer['consistent']]}")
        terminal.show_line(f"Written to {output}.")
        if "error" in answer:
            terminal.show_problem({"detail": answer["error"]["detail"]})
    if "error" in answer:
        raise typer.Exit(1)


async def _explain(samples: Sequence[bytes], policies: SetPolicies) -> tuple[Answer, bytes]:
    """The answer to a set, or its `error`, and the picture."""
    # Only here: this loads decoders and networks.
    from service.api.answers import sample_entry
    from service.api.templates import template_answer
    from service.cli.local_service import open_local_parts

    async with open_local_parts() as parts:
        try:
            created = await parts.creator.create(samples, policies)
        except RefusedSetError as refusal:
            lines = [sample_entry(report).model_dump(mode="json") for report in refusal.reports]
            error = {"code": refusal.code, "detail": refusal.detail, "samples": lines}
            answer = {"consistent": are_consistent(refusal.reports), "error": error}
            return answer, await parts.creator.draw_refused(samples, refusal)
        answer = template_answer(parts, frozenset(), created).model_dump(mode="json", exclude_unset=True)
        return answer, await parts.creator.draw(created.template.template_id, samples)
