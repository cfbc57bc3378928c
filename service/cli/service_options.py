"""Options that `enrol` and `verify` share."""

from __future__ import annotations

from typing import Annotated

import typer

from service.types import FacePolicy

UrlOption = Annotated[str, typer.Option("--url", envvar="COREFACE_URL", help="The running service to talk to.")]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Run the model in this process: no service, nothing is stored.")
]
FacePolicyOption = Annotated[FacePolicy, typer.Option("--face-policy", help="Which face of an image is taken.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
