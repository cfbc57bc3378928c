from __future__ import annotations

import pytest
import structlog

from service.observability.trace_context import bound_trace, current_traceparent

ASKED = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"


def test_a_trace_is_gone_on_with_and_stands_in_the_log() -> None:
    with bound_trace(ASKED):
        assert current_traceparent() == ASKED
        assert structlog.contextvars.get_contextvars()["trace_id"] == "a1" * 16
    assert current_traceparent() != ASKED
    assert "trace_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "nonsense",
        ASKED.upper(),
        ASKED + "0",
        "00-" + "0" * 32 + "-" + "b2" * 8 + "-01",
        ASKED.replace("00-", "ff-"),
    ],
)
def test_what_is_no_trace_begins_a_new_one(asked: str) -> None:
    with bound_trace(asked):
        begun = current_traceparent()
        assert begun != asked
        with bound_trace(begun):
            assert current_traceparent() == begun
