"""The sides of a comparison as a request names them."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.bodies import SideBody
from service.api.idempotency import digest_samples
from service.pipeline.set_keys import digest_sample
from service.pipeline.verification import SampleSide, SealedSide, Side, StoredSide, VectorSide
from service.protocols import TemplateSealer
from service.types import SetPolicies


async def side_of(body: SideBody, key: str | None) -> Side:
    if body.template_id is not None:
        return StoredSide(body.template_id)
    if body.vector is not None:
        return VectorSide(tuple(body.vector), body.fingerprint, body.template_norm)
    if body.sealed_template is not None:
        return SealedSide(body.sealed_template)
    defaults = SetPolicies()
    policies = SetPolicies(body.face_policy or defaults.face, body.consistency_policy or defaults.consistency)
    samples = tuple(body.samples or ())
    return SampleSide(samples, policies, await digest_samples(key, samples))


def described(side: Side) -> object:
    """What a request says of a side, with digests for bytes."""
    match side:
        case SampleSide(_, policies, digests):
            return (digests, policies)
        case SealedSide(data):
            return digest_sample(data)
        case _:
            return side


def known_id(sealer: TemplateSealer, side: Side) -> str | None:
    """Of the template that a side is, or is a sealed copy of; None for what the caller brought."""
    match side:
        case StoredSide(template_id):
            return template_id
        case SealedSide(data):
            return sealer.id_of(data)
        case _:
            return None


def stored_ids(sides: Iterable[Side]) -> list[str]:
    return [side.template_id for side in sides if isinstance(side, StoredSide)]
