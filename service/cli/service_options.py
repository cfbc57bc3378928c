"""Options that `enrol` and `verify` share."""

from __future__ import annotations

from typing import Annotated

import typer

from service.types import ConsistencyPolicy, FacePolicy

UrlOption = Annotated[str, typer.Option("--url", envvar="COREFACE_URL", help="The running service to talk to.")]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="COREFACE_API_KEY", help="Key of that service, where it asks for one.", show_envvar=True
    ),
]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Run the model in this process: no service, nothing is stored.")
]
FacePolicyOption = Annotated[FacePolicy, typer.Option("--face-policy", help="Which face of an image is taken.")]
ConsistencyPolicyOption = Annotated[
    ConsistencyPolicy,
    typer.Option("--consistency-policy", help="What becomes of faces that do not look like one person's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
