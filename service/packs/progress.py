"""How an installation tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told what is being done now and the share that is done, 0..1."""


def silent(step: str, share: float) -> None:
    """For callers that show nothing."""
