"""When a call is sent again, and how an answer is read. The same for both clients: they only wait differently."""

from __future__ import annotations

import random
import time
from http import HTTPStatus
from typing import Any, Generic, cast

import httpx
from pydantic import BaseModel, ValidationError

from service.client.calls import Answer, Call
from service.client.problems import CorefaceProblem, CorefaceUnreachable

_CONNECT_S = 5.0
_JITTER = random.SystemRandom()
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_PASSING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""A moment may be all it takes; 502 is of a balancer."""


class Attempts(Generic[Answer]):
    """One call until its deadline: exponential pauses with full jitter, or as long as the service asks for."""

    def __init__(self, call: Call[Answer], deadline_s: float) -> None:
        self._call = call
        self._ends = time.monotonic() + deadline_s
        self._made = 0

    def timeout(self) -> httpx.Timeout:
        """Of the next attempt."""
        left = max(0.001, self._ends - time.monotonic())
        return httpx.Timeout(left, connect=min(_CONNECT_S, left))

    def pause_after(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds to wait before the call is sent again; None: this outcome is the last."""
        self._made += 1
        if isinstance(outcome, httpx.Response) and outcome.status_code not in _PASSING:
            return None
        pause_s = _JITTER.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._made - 1)))
        if isinstance(outcome, httpx.Response):
            # No sooner than the service asks for; where that is a day (a quota), not at all.
            pause_s += _retry_after(outcome) or 0.0
        return pause_s if time.monotonic() + pause_s < self._ends else None

    def read(self, outcome: httpx.Response | httpx.TransportError) -> Answer:
        """Raises `CorefaceProblem`, `CorefaceUnreachable`."""
        if isinstance(outcome, httpx.TransportError):
            raise CorefaceUnreachable(f"no answer after {self._made} attempt(s): {type(outcome).__name__}") from outcome
        document = _document(outcome)
        if outcome.is_success:
            return self._read_success(outcome, document)
        if "code" not in document:
            raise CorefaceUnreachable(f"what answers is no coreface service (status {outcome.status_code})")
        problem = CorefaceProblem(outcome.status_code, document, _retry_after(outcome))
        if self._call.gone_is_done and self._made > 1 and problem.code == "template_erased":
            return cast(Answer, None)
        raise problem

    def _read_success(self, response: httpx.Response, document: dict[str, Any]) -> Answer:
        if self._call.reads is type(None):
            return cast(Answer, None)
        try:
            return cast(Answer, cast(type[BaseModel], self._call.reads).model_validate(document))
        except ValidationError:
            # From None: the error would quote the answer.
            raise CorefaceUnreachable(
                f"the answer is none of this API's version (status {response.status_code})"
            ) from None


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
