"""Requests at a fixed rate, whether they are answered or not: `python -m tests.resilience.open_loop URL RATE SECONDS`.

Every request has a connection of its own to itself for as long as it takes. What became of them is one line of JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from tests.resilience.canaries import CanarySet
from tests.resilience.raw_http import Connection

_IDLE_S = 5.0
"""A connection that waited longer is not used again: the balancer closes it soon, perhaps while a request is sent."""


@dataclass(slots=True)
class Outcomes:
    sent: int = 0
    seconds: float = 0.0
    """From the first request to the last one that was sent."""
    statuses: Counter[str] = field(default_factory=Counter)
    made_at: list[float] = field(default_factory=list)
    """When templates were answered, seconds after the first request."""
    made_s: list[float] = field(default_factory=list)
    """How long they took."""
    shed_s: list[float] = field(default_factory=list)
    """How long it took to refuse a request."""
    without_advice: int = 0
    """Refused without a `Retry-After`."""


async def send(url: str, rate: float, seconds: float) -> Outcomes:
    outcomes, idle = Outcomes(), list[tuple[float, Connection]]()
    began = time.monotonic()

    async def one() -> None:
        body, sent_at = CanarySet.fresh().body(), time.monotonic()
        since, connection = idle.pop() if idle else (sent_at, Connection(url))
        if sent_at - since > _IDLE_S:
            connection.close()
        try:
            answer = await connection.ask("POST", "/v1/templates", body)
        except OSError as error:
            outcomes.statuses[type(error).__name__] += 1
            return
        now = time.monotonic()
        idle.append((now, connection))
        outcomes.statuses[str(answer.status) if answer.code is None else f"{answer.status} {answer.code}"] += 1
        if answer.status == 201:
            outcomes.made_at.append(now - began)
            outcomes.made_s.append(now - sent_at)
        elif answer.status == 429:
            outcomes.shed_s.append(now - sent_at)
            outcomes.without_advice += "retry-after" not in answer.headers

    async with asyncio.TaskGroup() as tasks:
        while (now := time.monotonic() - began) < seconds:
            # As many as are due: a loop that was held up catches up.
            while outcomes.sent < rate * now:
                tasks.create_task(one())
                outcomes.sent += 1
            await asyncio.sleep(0.005)
        outcomes.seconds = now
    for _, connection in idle:
        connection.close()
    return outcomes


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(send(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
