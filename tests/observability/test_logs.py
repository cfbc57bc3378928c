from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.observability.logs import configure_logging, describe_exception


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_both_kinds_of_logger_write_json_with_the_request_id(log: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.stdlib.get_logger("one").info("first", seconds=0.5)
        logging.getLogger("two").warning("second %d", 2)
    first, second = lines(log)
    assert (first["event"], first["seconds"], first["request_id"], first["level"]) == ("first", 0.5, "r-1", "info")
    assert (second["event"], second["logger"], second["request_id"]) == ("second 2", "two", "r-1")


def test_lines_below_the_level_are_not_written(log: io.StringIO) -> None:
    structlog.stdlib.get_logger("one").debug("quiet")
    logging.getLogger("two").debug("quiet")
    logging.getLogger("uvicorn.access").info("GET /v1/templates/secret")
    assert lines(log) == []


def test_an_exception_is_logged_by_class_and_place_without_its_words(log: io.StringIO) -> None:
    for logger in (logging.getLogger("two"), structlog.stdlib.get_logger("one")):
        try:
            raise ValueError("the vector is 0.1, 0.2")
        except ValueError:
            logger.exception("failed")
    for line in lines(log):
        assert line["error"] == "builtins.ValueError"
        assert "test_logs.py" in line["frames"][0]
    assert "0.1" not in log.getvalue()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="COREFACE_LOG_LEVEL"):
        configure_logging("loud")


def test_an_exception_without_frames_is_described() -> None:
    assert describe_exception(KeyError("secret")) == {"error": "builtins.KeyError", "frames": []}
