"""Answers that outlive their request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, as it is given again to whoever repeats its request."""

    status: int
    code: str | None
    """Of a problem document; None for any other answer."""
    location: str | None
    body: bytes = field(repr=False)
    template_ids: tuple[str, ...] = ()
    """Of the kept templates that it tells of: without any one of them it is not given again."""
