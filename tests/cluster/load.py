"""Clients that keep a cluster busy, and remember what they were answered."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from types import TracebackType

import httpx

from tests.pipeline.fakes import png

_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one request."""

    path: str
    status: int
    """0: no answer at all."""
    detail: str
    """Of a problem; else empty, or what is wrong with the answer."""
    ended_at: float
    """Monotonic seconds."""

    @property
    def failed(self) -> bool:
        return self.status >= 400 or self.status == 0 or bool(self.detail)


class Load:
    """Senders, one thread and one connection each: a set nobody sent before, then the comparison of its template with
    itself, which has to match, and so on for as long as the context is open."""

    def __init__(self, url: str, senders: int = 4) -> None:
        self._url = url
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]
        self._ended = threading.Event()
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in list(self.outcomes) if outcome.failed]

    def wait_for(self, count: int, timeout_s: float = 30.0) -> None:
        """Until so many more requests were answered well."""
        deadline = time.monotonic() + timeout_s
        wanted = self._successes() + count
        while self._successes() < wanted:
            assert time.monotonic() < deadline, f"no progress; failures: {self.failures[-5:]}"
            time.sleep(0.02)

    def _successes(self) -> int:
        return sum(not outcome.failed for outcome in list(self.outcomes))

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60.0) as client:
            while not self._ended.is_set():
                template_id = self._create(client)
                if template_id is not None:
                    self._verify(client, template_id)

    def _create(self, client: httpx.Client) -> str | None:
        serial = next(_serial)
        files = [("samples", png(content=b"%d of set %d" % (number, serial))) for number in range(2)]
        response = self._ask(client, "/v1/templates", files=files)
        if response is None:
            return None
        template_id: str = response.json()["template_id"]
        return template_id

    def _verify(self, client: httpx.Client, template_id: str) -> None:
        side = {"template_id": template_id}
        self._ask(client, "/v1/verify", json={"reference": side, "probe": side})

    def _ask(self, client: httpx.Client, path: str, **body: object) -> httpx.Response | None:
        """The response, where it is a good one."""
        try:
            response = client.post(path, **body)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            self._note(path, 0, repr(error))
            return None
        if response.is_error:
            self._note(path, response.status_code, response.text)
            return None
        wrong = path == "/v1/verify" and response.json()["decision"] != "match"
        self._note(path, response.status_code, "a template does not match itself" if wrong else "")
        return response

    def _note(self, path: str, status: int, detail: str) -> None:
        self.outcomes.append(Outcome(path, status, detail, time.monotonic()))
