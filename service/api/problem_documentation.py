"""How routes declare, for the OpenAPI document, which problems they answer."""

from __future__ import annotations

from itertools import groupby

from service.api.answers import ProblemDocument
from service.errors import CorefaceError, InsufficientScopeError, UnauthenticatedError

_MEDIA_TYPE = "application/problem+json"


def problems(*errors: type[CorefaceError]) -> dict[int | str, dict[str, object]]:
    """One response per status, naming its codes."""
    by_status = groupby(sorted(errors, key=lambda error: (error.status, error.code)), key=lambda error: error.status)
    return {
        status: {
            "description": " or ".join(f"`{error.code}`" for error in group),
            "content": {_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}},
        }
        for status, group in by_status
    }


ACCESS_PROBLEMS = problems(UnauthenticatedError, InsufficientScopeError)
"""Of every route that asks who is there."""
