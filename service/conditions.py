"""What the parts of a service say about themselves, for whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker says about itself."""

    worker_id: str
    version: str
    providers: tuple[str, ...]
    slots: int
    """Sets that it takes at once."""
    same_key: bool | None
    """Whether it can open what this process seals; None: it does not say."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What a template engine says about itself."""

    ready: bool
    detail: str
    """One sentence for an operator."""
    workers: int
    providers: tuple[str, ...]
    """Execution providers that really run, over all workers."""
    members: tuple[WorkerStatus, ...] = ()
    """The workers, where they are processes of their own."""
    sets_waiting: int = 0
    sets_in_flight: int = 0
    """With the workers."""
    oldest_s: float = 0.0
    """Since the oldest of those sets came to this process, seconds."""


@dataclass(frozen=True, slots=True)
class StoreCondition:
    """What a template store that can be used says about itself."""

    latency_s: float = 0.0
    """Of the question."""
    used_bytes: int = 0
    limit_bytes: int | None = None
    """None: there is none."""
    clock_skew_s: float = 0.0
    """How far this machine's clock is ahead of the store's, seconds."""
    saves: bool = True
    """Whether what it was to write to its disk last was written."""
    same_key: bool | None = None
    """Whether this process can open what the last other one to ask sealed; None: not known."""
