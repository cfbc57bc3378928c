"""Requests with an `Idempotency-Key` are answered once: who repeats one gets the very answer of the first time.

After draft-ietf-httpapi-idempotency-key-header. What says "try again" (408, 429, 5xx) is not kept, and neither is what
was refused before the request was understood.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Scope

from service.api.disconnection import run_while_connected
from service.api.problems import PROBLEM_MEDIA_TYPE, coreface_problem, note_problem
from service.errors import CorefaceError, DeadlineExceededError, InvalidIdempotencyKeyError
from service.kept_answers import KeptAnswer
from service.pipeline.set_keys import digest_sample
from service.pipeline.single_flight import SingleFlight
from service.protocols import AnswerStore

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
MAX_KEY_LENGTH = 255
KEY_PATTERN = r"^[!-~](?:[ -~]*[!-~])?$"
_KEY = re.compile(KEY_PATTERN)

Work = Callable[[], Coroutine[Any, Any, KeptAnswer]]


def idempotency_key(request: Request) -> str | None:
    """The key of this request, if it has one. Raises `InvalidIdempotencyKeyError`."""
    sent = request.headers.getlist(KEY_HEADER)
    if not sent:
        return None
    if len(sent) > 1 or len(sent[0]) > MAX_KEY_LENGTH or _KEY.fullmatch(sent[0]) is None:
        raise InvalidIdempotencyKeyError(
            f"Send one {KEY_HEADER}, of 1 to {MAX_KEY_LENGTH} printable ASCII characters; a UUID is good."
        )
    return sent[0]


async def digest_samples(key: str | None, samples: Sequence[bytes]) -> tuple[str, ...] | None:
    """What the samples are, in order, where a key asks for it; the pipeline takes these digests over."""
    if key is None:
        return None
    return await asyncio.to_thread(lambda: tuple(map(digest_sample, samples)))


def success(
    model: BaseModel, *, status: int = HTTPStatus.OK, location: str | None = None, template_ids: Sequence[str] = ()
) -> KeptAnswer:
    """`template_ids`: of the kept templates that the answer tells of."""
    body = model.model_dump_json(exclude_unset=True).encode()
    return KeptAnswer(status, None, location, body, tuple(sorted(set(template_ids))))


def is_final(status: int) -> bool:
    """Whether the same request would be answered so again; otherwise it may be tried again."""
    passing = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in passing


class IdempotentAnswers:
    """Answers requests, each key once over all API processes."""

    def __init__(self, store: AnswerStore, *, timeout_s: float) -> None:
        """`timeout_s`: of a request with a key, whoever works on its answer."""
        self._store = store
        self._timeout_s = timeout_s
        self._flights: SingleFlight[KeptAnswer] = SingleFlight()

    async def answer(self, request: Request, key: str | None, said: Callable[[], object], work: Work) -> Response:
        """`said`: what the request asks for beside its path, in values that JSON has; called with a key only, and not
        on the event loop.

        Raises what `work` raises and, with a key, what the store raises and `DeadlineExceededError`.
        """
        if key is None:
            return _response(request.scope, await run_while_connected(request, work()), replayed=False)
        name = f"{request.scope['route'].path}\n{key}"
        digest = await asyncio.to_thread(lambda: _digest([request.path_params, said()]))
        made: list[KeptAnswer] = []

        async def find_or_work() -> KeptAnswer:
            async with self._store.claim_answer(name, digest, self._timeout_s) as kept:
                if kept is not None:
                    return kept
                made.append(await _final_answer(request.scope, work))
                return await self._store.put_answer(name, digest, made[0])

        answer = await run_while_connected(request, self._shared((name, digest), find_or_work))
        return _response(request.scope, answer, replayed=answer not in made)

    async def _shared(self, key: tuple[str, str], find_or_work: Work) -> KeptAnswer:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return await self._flights.run(key, find_or_work)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError("The time for this request ran out before its answer was there.") from None


def _digest(said: object) -> str:
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _final_answer(scope: Scope, work: Work) -> KeptAnswer:
    """A problem that the same request would meet again is an answer too; any other is raised."""
    try:
        return await work()
    except CorefaceError as error:
        if not is_final(error.status):
            raise
        problem = coreface_problem(scope, error)
        return KeptAnswer(error.status, error.code, None, bytes(problem.body))


def _response(scope: Scope, answer: KeptAnswer, *, replayed: bool) -> Response:
    headers = {} if answer.location is None else {"Location": answer.location}
    if replayed:
        headers[REPLAYED_HEADER] = "true"
    if answer.code is None:
        return Response(answer.body, answer.status, headers, "application/json")
    note_problem(scope, answer.code)
    return Response(answer.body, answer.status, headers, PROBLEM_MEDIA_TYPE)
