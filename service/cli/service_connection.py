"""How commands reach a service: over HTTP, or the same application inside this very process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx

from service.errors import CorefaceError, SetupError

_TIMEOUT_S = 120.0
_MAX_RETRIES = 8
_MAX_RETRY_AFTER_S = 10.0
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before a service that answered before is tried again."""

Answer = dict[str, Any]


class ServiceProblemError(CorefaceError):
    """The service answered a problem document."""

    def __init__(self, problem: Answer) -> None:
        super().__init__(str(problem.get("detail", "The service answered an error.")))
        self.problem = problem


class ServiceConnection:
    """The calls that the commands need. Waits and tries again where the service asks for it, and where one that has
    answered before does not: it may be starting again."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._has_answered = False

    async def get(self, path: str) -> Answer:
        """Raises `ServiceProblemError`, `SetupError`; as do the others."""
        return await self._ask("GET", path)

    async def put(self, path: str) -> Answer:
        return await self._ask("PUT", path)

    async def delete(self, path: str) -> Answer:
        """Empty where the service answers nothing but success."""
        return await self._ask("DELETE", path)

    async def enrol(self, samples: Sequence[bytes], policies: Mapping[str, str], include: Sequence[str]) -> Answer:
        """POST /v1/templates. The very same set may be sent twice: it is one template."""
        files = [("samples", ("sample", data, "application/octet-stream")) for data in samples]
        fields = {**policies, "include": ",".join(include)}
        return await self._ask("POST", "/v1/templates", files=files, data=fields)

    async def verify(self, body: Answer) -> Answer:
        """POST /v1/verify."""
        return await self._ask("POST", "/v1/verify", json=body)

    async def _ask(self, method: str, path: str, **content: Any) -> Answer:
        for _ in range(_MAX_RETRIES):
            response = await self._send(method, path, content)
            if "retry-after" not in response.headers or not _is_passing(response):
                break
            await asyncio.sleep(min(float(response.headers["retry-after"]), _MAX_RETRY_AFTER_S))
        return _read_answer(response)

    async def _send(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        for pause_s in (*_PAUSES_S, None):
            try:
                response = await self._client.request(method, path, **content)
            except httpx.TransportError as error:
                if pause_s is not None and self._has_answered:
                    await asyncio.sleep(pause_s)
                    continue
                raise SetupError(
                    f"No coreface service answers at {self._client.base_url} ({type(error).__name__}). Start one with "
                    "`coreface serve`, name another with --url, or work without one with --local."
                ) from error
            self._has_answered = True
            return response
        raise AssertionError("the last pause is none")


@asynccontextmanager
async def connect_to_service(url: str, api_key: str | None = None) -> AsyncIterator[ServiceConnection]:
    """A running service. Raises `SetupError` for what is no URL."""
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    try:
        client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, headers=headers)
    except httpx.InvalidURL as error:
        raise SetupError(f"{url!r} is no URL of a service.") from error
    async with client:
        yield ServiceConnection(client)


@asynccontextmanager
async def connect_in_process() -> AsyncIterator[ServiceConnection]:
    """The whole application in this process, with the settings' pack and no store. Raises `SetupError`."""
    # Only here: this loads decoders and networks.
    from service.cli.local_service import local_application

    application = local_application()
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        # No timeout: it is this process that answers.
        async with httpx.AsyncClient(  # nosec B113
            transport=transport,
            base_url="http://local",
            timeout=None,  # noqa: S113
        ) as client:
            yield ServiceConnection(client)


def _is_passing(response: httpx.Response) -> bool:
    """Whether a moment is all it takes: a quota or a lock takes longer than a command waits."""
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return True
    return response.status_code == HTTPStatus.TOO_MANY_REQUESTS and _read_problem(response).get("code") == "overloaded"


def _read_problem(response: httpx.Response) -> Answer:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _read_answer(response: httpx.Response) -> Answer:
    if response.status_code == HTTPStatus.NO_CONTENT:
        return {}
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SetupError(
            f"What answers at {response.request.url} is no coreface service (status {response.status_code})."
        )
    if response.is_error:
        raise ServiceProblemError(answer)
    return answer
