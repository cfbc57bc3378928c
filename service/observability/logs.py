"""JSON lines on standard error: one object per line, the request id in each, never a body, a vector or an id."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import TextIO

import orjson
import structlog

_NOISY = ("uvicorn.access", "httpx", "httpcore")
"""Loggers that write paths and addresses; the request log says what is needed without them."""


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records through one JSON renderer to `stream` (standard error).

    Raises `ValueError` for an unknown level. Called once per process, by its entry point.
    """
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise ValueError(f"COREFACE_LOG_LEVEL is {level!r}; take debug, info, warning or error.")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _replace_traceback,
    ]
    renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # No line says them, and finding them out takes longer than the rest of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def configure_command_logging() -> None:
    """For commands: their standard output is their answer, so only warnings and errors of structlog's loggers are
    shown, on standard error."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def describe_exception(error: BaseException) -> dict[str, object]:
    """Class and place of an exception, without its message: messages of libraries may quote what they were given."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "frames": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _replace_traceback(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event.update(describe_exception(error))
    # A record of the standard library keeps its own reference, which its formatter would render.
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        record.exc_info = None
        record.exc_text = None
    return event


def _to_json(event: structlog.typing.EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()
