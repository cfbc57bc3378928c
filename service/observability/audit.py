"""The audit trail: one line of JSON for every write and every decision, in a sink of its own.

A line tells who (tenant, key, address), when, what became of what (ids of templates, decision, operating point,
fingerprint) under which request id. No image, vector, score, subject or secret is ever in it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Protocol

import orjson

from service.errors import AuditUnavailableError, SetupError

STANDARD_OUTPUT = "-"

Entry = Mapping[str, object]


class Event(StrEnum):
    TEMPLATE_CREATED = "template.created"
    TEMPLATE_ERASED = "template.erased"
    TEMPLATE_EXPIRY_SET = "template.expiry_set"
    TEMPLATE_UNLOCKED = "template.unlocked"
    VERIFICATION_DECIDED = "verification.decided"
    VERIFICATION_REFUSED = "verification.refused"
    """Delayed or locked, after failures before it."""
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"


class AuditLog(Protocol):
    def write(self, entries: Iterable[Entry]) -> None:
        """All of them, in one piece. Raises `AuditUnavailableError`."""
        ...


class NoAuditLog:
    """Of a process that keeps nothing, as with `--local`."""

    def write(self, entries: Iterable[Entry]) -> None:
        """There is nothing to tell."""


class LineAuditLog:
    """Lines to a file (mode 0600, opened again where it was moved away) or to standard output."""

    def __init__(self, sink: str) -> None:
        """`sink`: a path, or `-`. Raises `SetupError`."""
        try:
            self._handler: logging.Handler = (
                _Stream(sys.stdout) if sink == STANDARD_OUTPUT else _File(Path(sink).expanduser())
            )
        except OSError as error:
            raise SetupError(f"The audit log {sink} cannot be opened: {error}") from error

    def write(self, entries: Iterable[Entry]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = [orjson.dumps({"time": now, **entry}).decode() for entry in entries]
        if not lines:
            return
        record = logging.LogRecord("coreface.audit", logging.INFO, "", 0, "\n".join(lines), None, None)
        try:
            self._handler.handle(record)
        except OSError as error:
            raise AuditUnavailableError("The audit line of this request cannot be written.") from error

    def close(self) -> None:
        # What could not be written was told when it was to be.
        with suppress(OSError):
            self._handler.close()


class _Loud(logging.Handler):
    """A line that cannot be written is an error of the request, not a note on standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is the library's)
        raise


class _Stream(_Loud, logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _File(_Loud, WatchedFileHandler):
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        super().__init__(path, encoding="utf-8")
