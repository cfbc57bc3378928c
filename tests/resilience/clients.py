"""Clients as they should be: what got no answer, or "try again", is sent again with the same Idempotency-Key."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

import orjson

from tests.resilience.canaries import CanarySet
from tests.resilience.raw_http import Answer, Connection

_PATIENCE_S = 60.0
_PAUSE_S = 0.05
_MOST_PAUSE_S = 0.5


@dataclass(slots=True)
class Outcome:
    """Of one set, or of one comparison."""

    canary: CanarySet = field(repr=False)
    template_id: str | None = None
    failure: str = ""
    """Why it failed for good, or what is wrong with the answer."""
    hiccups: list[str] = field(default_factory=list)
    """Why it was sent again, each time."""
    ended_at: float = 0.0
    """Monotonic seconds."""
    seconds: float = 0.0


class CanaryClients:
    """Senders of one set after the other for as long as the context is open, each on a connection of its own.

    Every answer is held against what the set must give. `per_second`: of all senders together; None: as fast as they
    are answered. Without `retry` the first failure is a failure. `compared`: how often each template is compared with
    itself afterwards.
    """

    def __init__(
        self, url: str, *, senders: int = 8, per_second: float | None = None, retry: bool = True, compared: int = 0
    ) -> None:
        self._url = url
        self._senders = senders
        self._interval_s = 0.0 if per_second is None else senders / per_second
        self._retry = retry
        self._compared = compared
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send_all()))
        self.outcomes: list[Outcome] = []
        self.comparisons = 0
        """Answered as they must be."""

    def __enter__(self) -> CanaryClients:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in list(self.outcomes) if outcome.failure]

    @property
    def hiccups(self) -> Counter[str]:
        return Counter(hiccup for outcome in list(self.outcomes) for hiccup in outcome.hiccups)

    @property
    def answered(self) -> int:
        """Sets and comparisons, well."""
        return len(self.outcomes) - len(self.failures) + self.comparisons

    def wait_for(self, count: int, timeout_s: float = 60.0) -> None:
        """Until so many more requests were answered well."""
        deadline = time.monotonic() + timeout_s
        wanted = self.answered + count
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"no progress; {self.hiccups}; {self.failures[-5:]}"
            time.sleep(0.01)

    async def _send_all(self) -> None:
        async with asyncio.TaskGroup() as senders:
            for number in range(self._senders):
                senders.create_task(self._send(number * self._interval_s / self._senders))

    async def _send(self, delay_s: float) -> None:
        connection = Connection(self._url)
        following = time.monotonic() + delay_s
        while not self._ended.is_set():
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            following = max(following + self._interval_s, time.monotonic() - self._interval_s)
            await self._create(connection, CanarySet.fresh())
        connection.close()

    async def _create(self, connection: Connection, canary: CanarySet) -> None:
        outcome, began = Outcome(canary), time.monotonic()
        answer = await self._ask(connection, "/v1/templates", canary.body("vector"), outcome)
        if answer is not None:
            made = answer.json()
            outcome.template_id = made["template_id"]
            if not canary.is_vector(made["vector"]):
                outcome.failure = "the template of another set"
        outcome.ended_at = time.monotonic()
        outcome.seconds = outcome.ended_at - began
        self.outcomes.append(outcome)
        if outcome.template_id is not None:
            await self._compare(connection, outcome, outcome.template_id)

    async def _compare(self, connection: Connection, outcome: Outcome, template_id: str) -> None:
        side = {"template_id": template_id}
        body = orjson.dumps({"reference": side, "probe": side})
        for _ in range(self._compared):
            answer = await self._ask(connection, "/v1/verify", body, outcome)
            if answer is not None and answer.json()["decision"] != "match":
                outcome.failure = "a template does not match itself"
            self.comparisons += answer is not None

    async def _ask(self, connection: Connection, path: str, body: bytes, outcome: Outcome) -> Answer | None:
        """The answer, where it is a good one."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if self._retry else {}
        deadline, pause_s = time.monotonic() + _PATIENCE_S, _PAUSE_S
        while True:
            try:
                answer = await connection.ask("POST", path, body, headers)
            except OSError as error:
                final, why = False, type(error).__name__
            else:
                if answer.status < 400:
                    return answer
                final, why = answer.status < 500 and answer.status != 429, f"{answer.status} {answer.code}"
            if final or not self._retry or time.monotonic() > deadline:
                outcome.failure = why
                return None
            outcome.hiccups.append(why)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)
