"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

import httpx

from service.api.answers import (
    BatchAnswer,
    ExpiryAnswer,
    ListedTemplateEntry,
    PackAnswer,
    ReadinessAnswer,
    StoredTemplateAnswer,
    SubjectAnswer,
    SubjectErasedAnswer,
    TemplateAnswer,
    VerifyAnswer,
)
from service.client import calls
from service.client.attempts import Attempts
from service.client.calls import Answer, Call
from service.client.pictures import Picture
from service.client.sides import Side

_PAGE = 200


class AsyncCoreface:
    """As `Coreface`, with coroutines. Any number of calls at once.

    Every call ends within its deadline: it is sent again after a failure that may pass, at growing intervals, or when
    the service asks for it (`Retry-After`). That does no harm: what changes something carries an `Idempotency-Key`.
    Raises `CorefaceProblem` for what the service refuses, `CorefaceUnreachable` where there is no answer, and `OSError`
    for a picture that cannot be read.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        deadline_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`api_key`: where the service asks for one. `deadline_s`: of one call with all its attempts. `transport`: for
        tests and proxies."""
        headers = {"User-Agent": "coreface-client"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx.AsyncClient(base_url=base_url, headers=headers, transport=transport)
        self._deadline_s = deadline_s

    def __repr__(self) -> str:
        """Without the key."""
        return f"AsyncCoreface({str(self._client.base_url)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def enrol(
        self,
        pictures: Sequence[Picture],
        *,
        subject: str | None = None,
        face_policy: str | None = None,
        consistency_policy: str | None = None,
        include: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> TemplateAnswer:
        """One subject's pictures become a template. `include`: `vector`, `sealed_template`."""
        return await self._send(
            calls.create_template(
                pictures,
                subject=subject,
                face_policy=face_policy,
                consistency_policy=consistency_policy,
                include=include,
                idempotency_key=idempotency_key,
            )
        )

    async def add_samples(
        self,
        template_id: str,
        pictures: Sequence[Picture],
        *,
        include: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> TemplateAnswer:
        """A new template from a kept one and further pictures."""
        return await self._send(
            calls.add_samples(template_id, pictures, include=include, idempotency_key=idempotency_key)
        )

    async def templates(self) -> AsyncIterator[ListedTemplateEntry]:
        """Every template of this key's tenant, once each, page by page, in no order."""
        seen: set[str] = set()
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._send(calls.list_templates(cursor, _PAGE))
            for template in page.templates:
                if template.template_id not in seen:
                    seen.add(template.template_id)
                    yield template
            cursor = page.next_cursor

    async def template(self, template_id: str) -> StoredTemplateAnswer:
        """What is known of it, and what became of each sample."""
        return await self._send(calls.get_template(template_id))

    async def expire(self, template_id: str, seconds: int) -> ExpiryAnswer:
        """Let it end in so many seconds, unless it would sooner."""
        return await self._send(calls.expire_template(template_id, seconds))

    async def erase(self, template_id: str) -> None:
        """It is gone for good; its id is answered 410 from then on."""
        await self._send(calls.erase_template(template_id))

    async def unlock(self, template_id: str) -> None:
        """Forget failed verifications against it."""
        await self._send(calls.unlock_template(template_id))

    async def subject(self, subject: str) -> SubjectAnswer:
        """The templates of a person."""
        return await self._send(calls.list_subject(subject))

    async def erase_subject(self, subject: str) -> SubjectErasedAnswer:
        """Every template of a person is erased."""
        return await self._send(calls.erase_subject(subject))

    async def verify(
        self,
        reference: Side,
        probe: Side,
        *,
        operating_point: str | None = None,
        raw_scores: bool = False,
        explain: bool = False,
        idempotency_key: str | None = None,
    ) -> VerifyAnswer:
        """Compare two sides. Only `decision == "match"` is a match; whatever else happens raises."""
        return await self._send(
            calls.verify(
                reference,
                probe,
                operating_point=operating_point,
                raw_scores=raw_scores,
                explain=explain,
                idempotency_key=idempotency_key,
            )
        )

    async def verify_pairs(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        operating_point: str | None = None,
        raw_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> BatchAnswer:
        """Up to 1,000 pairs (reference, probe) of template ids. An entry without a `decision` has an `error`."""
        return await self._send(
            calls.verify_pairs(
                pairs, operating_point=operating_point, raw_scores=raw_scores, idempotency_key=idempotency_key
            )
        )

    async def verify_references(
        self,
        references: Sequence[Side],
        probe: Side,
        *,
        operating_point: str | None = None,
        raw_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> BatchAnswer:
        """One probe against up to 32 references, none of them `Samples`."""
        return await self._send(
            calls.verify_references(
                references,
                probe,
                operating_point=operating_point,
                raw_scores=raw_scores,
                idempotency_key=idempotency_key,
            )
        )

    async def pack(self) -> PackAnswer:
        """The pack that is served, with its operating points."""
        return await self._send(calls.current_pack())

    async def ready(self) -> ReadinessAnswer:
        """Raises `CorefaceProblem` (`not_ready`) with the reasons."""
        return await self._send(calls.readiness())

    async def _send(self, call: Call[Answer]) -> Answer:
        attempts = Attempts(call, self._deadline_s)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._client.request(
                    call.method, call.path, timeout=attempts.timeout(), **call.content()
                )
            except httpx.TransportError as error:
                outcome = error
            pause_s = attempts.pause_after(outcome)
            if pause_s is None:
                return attempts.read(outcome)
            await asyncio.sleep(pause_s)
