"""The calls of the API: what is sent, and what the answer is read as. Nothing here waits for anything."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from service.api.answers import (
    BatchAnswer,
    ExpiryAnswer,
    PackAnswer,
    ReadinessAnswer,
    StoredTemplateAnswer,
    SubjectAnswer,
    SubjectErasedAnswer,
    TemplateAnswer,
    TemplatesAnswer,
    VerifyAnswer,
)
from service.client.pictures import Picture, read_picture
from service.client.sides import Side, side_body

Answer = TypeVar("Answer", bound=BaseModel | None)


@dataclass(frozen=True, slots=True, repr=False)
class Call(Generic[Answer]):
    """One call, which may be sent again: what changes something carries an idempotency key, or does the same twice."""

    method: str
    path: str
    reads: type[Answer]
    """What a success is read as; members that are not known to it are left out."""
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[bytes] = ()
    gone_is_done: bool = False
    """Sent again, `template_erased` says that it was done the first time."""

    def content(self) -> dict[str, Any]:
        """As httpx takes it."""
        sent: dict[str, Any] = {"params": dict(self.params), "headers": dict(self.headers)}
        if self.json is not None:
            sent["json"] = self.json
        if self.pictures:
            sent["files"] = [("samples", ("sample", data, "application/octet-stream")) for data in self.pictures]
            sent["data"] = dict(self.fields)
        return sent


def create_template(
    pictures: Sequence[Picture],
    *,
    subject: str | None,
    face_policy: str | None,
    consistency_policy: str | None,
    include: Sequence[str],
    idempotency_key: str | None,
) -> Call[TemplateAnswer]:
    fields = {
        "subject": subject,
        "face_policy": face_policy,
        "consistency_policy": consistency_policy,
        "include": ",".join(include) or None,
    }
    return Call(
        "POST",
        "/v1/templates",
        TemplateAnswer,
        headers=_key(idempotency_key),
        fields={name: value for name, value in fields.items() if value is not None},
        pictures=[read_picture(picture) for picture in pictures],
    )


def add_samples(
    template_id: str, pictures: Sequence[Picture], *, include: Sequence[str], idempotency_key: str | None
) -> Call[TemplateAnswer]:
    return Call(
        "POST",
        f"{_template(template_id)}/samples",
        TemplateAnswer,
        headers=_key(idempotency_key),
        fields={"include": ",".join(include)} if include else {},
        pictures=[read_picture(picture) for picture in pictures],
    )


def list_templates(cursor: str, limit: int) -> Call[TemplatesAnswer]:
    return Call("GET", "/v1/templates", TemplatesAnswer, params={"cursor": cursor, "limit": limit})


def get_template(template_id: str) -> Call[StoredTemplateAnswer]:
    return Call("GET", _template(template_id), StoredTemplateAnswer)


def expire_template(template_id: str, seconds: int) -> Call[ExpiryAnswer]:
    return Call("PUT", f"{_template(template_id)}/expiry", ExpiryAnswer, params={"seconds": seconds})


def erase_template(template_id: str) -> Call[None]:
    return Call("DELETE", _template(template_id), type(None), gone_is_done=True)


def unlock_template(template_id: str) -> Call[None]:
    return Call("DELETE", f"{_template(template_id)}/lock", type(None))


def list_subject(subject: str) -> Call[SubjectAnswer]:
    return Call("GET", f"/v1/subjects/{quote(subject, safe='')}", SubjectAnswer)


def erase_subject(subject: str) -> Call[SubjectErasedAnswer]:
    return Call("DELETE", f"/v1/subjects/{quote(subject, safe='')}", SubjectErasedAnswer)


def verify(
    reference: Side,
    probe: Side,
    *,
    operating_point: str | None,
    raw_scores: bool,
    explain: bool,
    idempotency_key: str | None,
) -> Call[VerifyAnswer]:
    body = {"reference": side_body(reference), "probe": side_body(probe), **_point(operating_point, raw_scores)}
    if explain:
        body["explain"] = True
    return Call("POST", "/v1/verify", VerifyAnswer, headers=_key(idempotency_key), json=body)


def verify_pairs(
    pairs: Sequence[tuple[str, str]], *, operating_point: str | None, raw_scores: bool, idempotency_key: str | None
) -> Call[BatchAnswer]:
    body = {
        "pairs": [{"reference": reference, "probe": probe} for reference, probe in pairs],
        **_point(operating_point, raw_scores),
    }
    return Call("POST", "/v1/verify/batch", BatchAnswer, headers=_key(idempotency_key), json=body)


def verify_references(
    references: Sequence[Side],
    probe: Side,
    *,
    operating_point: str | None,
    raw_scores: bool,
    idempotency_key: str | None,
) -> Call[BatchAnswer]:
    body = {
        "references": [side_body(reference) for reference in references],
        "probe": side_body(probe),
        **_point(operating_point, raw_scores),
    }
    return Call("POST", "/v1/verify/references", BatchAnswer, headers=_key(idempotency_key), json=body)


def current_pack() -> Call[PackAnswer]:
    return Call("GET", "/v1/packs/current", PackAnswer)


def readiness() -> Call[ReadinessAnswer]:
    return Call("GET", "/health/ready", ReadinessAnswer)


def _template(template_id: str) -> str:
    return f"/v1/templates/{quote(template_id, safe='')}"


def _key(idempotency_key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}


def _point(operating_point: str | None, raw_scores: bool) -> dict[str, Any]:
    point = {} if operating_point is None else {"operating_point": operating_point}
    return point | ({"scores": "raw"} if raw_scores else {})
